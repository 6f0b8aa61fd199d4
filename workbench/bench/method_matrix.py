"""Every tuning method on every kind of model: each cell is run on a two-layer model, or refused by name with the reason.

    methods x families x {none, int8, nf4} x {verbalizer, head}

A cell that runs has been shown to: attach; change nothing but its own parameters; bring the loss on 32 rows down; save; answer the same
after loading; and leave every byte of the model as it was when it is taken off. The table in the README is written by `table`.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from workbench.data.dataset import InputExample
from workbench.errors import WorkbenchError
from workbench.methods import method_names
from workbench.recipe import ModelPart, Recipe

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel
    from workbench.serving.tuned import Tuned

FAMILIES = ("bert", "roberta", "albert", "distilbert", "qwen2", "qwen3", "llama", "gemma3", "gpt2")
QUANTIZATIONS = ("none", "int8", "nf4")
OBJECTIVES = ("verbalizer", "head")
LABELS = ("positive", "negative")
STEPS = 8
ROWS = 32
CLOSE = 1e-6
_CAUSAL = ("qwen2", "qwen3", "llama", "gemma3", "gpt2")
_CLASSES = {
    "bert": ("BertConfig", "BertForMaskedLM"),
    "roberta": ("RobertaConfig", "RobertaForMaskedLM"),
    "albert": ("AlbertConfig", "AlbertForMaskedLM"),
    "distilbert": ("DistilBertConfig", "DistilBertForMaskedLM"),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM"),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM"),
    "llama": ("LlamaConfig", "LlamaForCausalLM"),
    "gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM"),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel"),
}
_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "great", "bad", "it", "was", "."]


class CellError(Exception):
    """A promise that a method did not keep on a model; a bug."""


@dataclass(frozen=True)
class Cell:
    """One method on one model. `refusal` is the reason why it does not apply, None where everything was shown."""

    method: str
    family: str
    quantization: str
    objective: str
    refusal: str | None = None


def make_tokenizer(*, causal: bool) -> Any:
    """A tokenizer of 128 words; for masked models it puts [CLS] and [SEP] around a text."""
    import transformers as hf
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = [*_WORDS, *(f"w{i}" for i in range(118))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if not causal:
        tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="[SEP]", **names)


def make_folder(family: str, folder: Path) -> Path:
    """A random two-layer model of a family, as `save_pretrained` writes it."""
    import transformers as hf

    tokenizer = make_tokenizer(causal=family in _CAUSAL)
    tokenizer.save_pretrained(folder)
    sizes: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    if family == "distilbert":
        sizes = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
    sizes |= {"embedding_size": 16} if family == "albert" else {}
    sizes |= {"num_key_value_heads": 2, "head_dim": 8} if family in _CAUSAL else {}
    if family == "gpt2":
        sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4}
    config, model = (getattr(hf, name) for name in _CLASSES[family])
    torch.manual_seed(0)
    made = model(config(**sizes, vocab_size=len(tokenizer), pad_token_id=0, bos_token_id=2, eos_token_id=3, max_position_embeddings=64))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    made.save_pretrained(folder)
    return folder


def load(family: str, quantization: str, root: Path) -> LoadedModel:
    """The two-layer model of a family, made in `root` on first use, loaded in a quantization."""
    from workbench.models.loading import load_model

    folder = root / family
    if not folder.exists():
        make_folder(family, folder)
    loaded = load_model(ModelPart(path=str(folder), quantization=quantization, device="cpu"))
    # transformers reads a Qwen or Llama folder with that family's own tokenizer rules, which know none of these words.
    loaded.tokenizer = make_tokenizer(causal=family in _CAUSAL)
    return loaded


def run_cell(method: str, objective: str, loaded: LoadedModel) -> Cell:
    """Runs one cell on a loaded model, which is afterwards what it was.

    Raises:
        CellError: the method breaks one of the promises in the module's docstring.
    """
    from workbench.serving.tuned import tune

    cell = (method, loaded.family.name, loaded.quantization, objective)
    recipe = _recipe(method, objective, causal=loaded.kind == "causal")
    before = digest(loaded.model)
    torch.manual_seed(1)
    try:
        tuned = tune(loaded, recipe, LABELS, keep_original=True)
    except WorkbenchError as error:
        _promise(digest(loaded.model) == before, cell, "is refused, and yet changed the model")
        return Cell(*cell, refusal=error.message)
    rows = tuned.classifier.encode(_examples())
    trained = {id(parameter) for _, parameter in tuned.parameters()}
    others = {name: p.detach().clone() for name, p in loaded.model.named_parameters() if id(p) not in trained}
    losses = _train(tuned, rows)
    _promise(losses[-1] < losses[0], cell, f"does not learn: loss {losses[0]:.4f} to {losses[-1]:.4f}")
    moved = [name for name, p in loaded.model.named_parameters() if name in others and not torch.equal(p, others[name])]
    _promise(not moved, cell, f"moved {moved[:1]}, which is not its own")
    answers = _answers(tuned, rows)
    with tempfile.TemporaryDirectory() as folder:
        tuned.save_final(Path(folder))
        tuned.detach()
        _promise(digest(loaded.model) == before, cell, "does not leave the model as it was")
        again = tune(loaded, recipe, LABELS, keep_original=True)
        again.restore(Path(folder))
    difference = float((_answers(again, rows) - answers).abs().max())
    again.detach()
    _promise(difference <= CLOSE, cell, f"answers differently after loading, by {difference:.1e}")
    _promise(digest(loaded.model) == before, cell, "does not leave the model as it was after loading")
    return Cell(*cell)


def run_matrix(say: Callable[[str], None]) -> list[Cell]:
    """Every cell, in about six minutes on one core.

    Args:
        say: told each family and quantization as it is finished.
    """
    cells = []
    with tempfile.TemporaryDirectory() as root:
        for family, quantization in _models():
            loaded = load(family, quantization, Path(root))
            cells += [run_cell(method, objective, loaded) for method in method_names() for objective in OBJECTIVES]
            say(f"{family} {quantization}: {sum(cell.refusal is None for cell in cells)} of {len(cells)} cells run")
    return cells


def table(cells: list[Cell]) -> str:
    """The matrix as Markdown: what runs, and below it every refusal with its reason."""
    families = list(dict.fromkeys(cell.family for cell in cells))
    found = {(c.method, c.family, c.quantization, c.objective): c for c in cells}
    reasons: dict[str, int] = {}
    lines = ["| method | " + " | ".join(families) + " |", "|---|" + "---|" * len(families)]
    for method in dict.fromkeys(cell.method for cell in cells):
        marks = [_mark(method, family, found, reasons) for family in families]
        lines.append(f"| `{method}` | " + " | ".join(marks) + " |")
    notes = [f"{number}. {reason}" for reason, number in reasons.items()]
    head = "Each cell stands for plain, 8-bit (int8) and 4-bit (nf4) weights, with label words and with a classification head."
    return "\n".join([head, "", *lines, "", *notes, ""])


def digest(model: torch.nn.Module) -> str:
    """SHA-256 over every weight and buffer."""
    sha = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        content = value.detach().cpu().contiguous().numpy().tobytes() if isinstance(value, Tensor) else str(value).encode()
        sha.update(name.encode() + content)
    return sha.hexdigest()


def _models() -> Iterator[tuple[str, str]]:
    for family in FAMILIES:
        for quantization in QUANTIZATIONS:
            yield family, quantization


def _mark(method: str, family: str, found: dict[Any, Cell], reasons: dict[str, int]) -> str:
    """"all", or what runs and the number of the reason for the rest."""
    parts = []
    for quantization in QUANTIZATIONS:
        for objective in OBJECTIVES:
            cell = found[method, family, quantization, objective]
            if cell.refusal is not None:
                number = reasons.setdefault(cell.refusal, len(reasons) + 1)
                parts.append(f"{quantization}, {objective}: no ({number})")
    if not parts:
        return "all"
    if len(parts) == len(QUANTIZATIONS) * len(OBJECTIVES) and len({part.rpartition("(")[2] for part in parts}) == 1:
        return f"none ({parts[0].rpartition('(')[2]}"
    return "all but " + "; ".join(_folded(parts))


def _folded(parts: list[str]) -> list[str]:
    """`int8, verbalizer: no (1)` and `int8, head: no (1)` as `int8 (1)`."""
    folded: dict[tuple[str, str], list[str]] = {}
    for part in parts:
        where, _, number = part.partition(": no ")
        quantization, objective = where.split(", ")
        folded.setdefault((quantization, number), []).append(objective)
    return [f"{q} {n}" if len(given) == len(OBJECTIVES) else f"{q} with {given[0]} {n}" for (q, n), given in folded.items()]


def _recipe(method: str, objective: str, *, causal: bool) -> Recipe:
    words = {"kind": "manual", "words": {"positive": ["great"], "negative": ["bad"]}}
    template = "{text}" if objective == "head" else "{text} it was [MASK]" + ("" if causal else " .")
    prompt = {"templates": [template], "verbalizer": {"kind": "head"} if objective == "head" else words, "max_length": 32}
    return Recipe(prompt=prompt, method={"name": method})


def _examples() -> list[InputExample]:
    """Rows whose label follows from one word."""
    rows = []
    for number in range(ROWS):
        good = number % 2 == 0
        text = f"w{40 + number} w{10 if good else 11} w{60 + number % 5}"
        rows.append(InputExample(guid=str(number), fields={"text": text}, label=LABELS[0 if good else 1]))
    return rows


def _train(tuned: Tuned, rows: list[Any]) -> list[float]:
    """A few full-batch steps without dropout at the rates that `auto` takes; the loss before, between and after them."""
    _without_dropout(tuned)
    named, base = tuned.parameters(), tuned.learning_rate
    groups = [{"params": [p], "lr": tuned.rate_of(name, base, auto=True)} for name, p in named]
    optimizer, losses = torch.optim.AdamW(groups, weight_decay=0.0), []
    for _ in range(STEPS):
        loss = _loss(tuned, rows)
        losses.append(float(loss.detach()))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        losses.append(float(_loss(tuned, rows)))
    return losses


def _without_dropout(tuned: Tuned) -> None:
    for module in (tuned.loaded.model, *(v.module for v in tuned.verbalizers if v.module is not None)):
        module.eval()


def _loss(tuned: Tuned, rows: list[Any]) -> Tensor:
    labels = torch.tensor([row.label for row in rows])
    return torch.nn.functional.nll_loss(tuned.classifier.log_probabilities(rows), labels)


def _answers(tuned: Tuned, rows: list[Any]) -> Tensor:
    _without_dropout(tuned)
    with torch.no_grad():
        return tuned.classifier.log_probabilities(rows)


def _promise(kept: bool, cell: tuple[str, ...], broken: str) -> None:
    if not kept:
        raise CellError(f"{' on '.join(cell[:2])} ({cell[2]}, {cell[3]}) {broken}.")
