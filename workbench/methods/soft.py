"""Soft tokens in a model: an embedding that looks ids of the vocabulary up in the frozen table and ids behind it in a trained one.

    ids < V   -> the model's own table, untouched and still tied to the output
    ids >= V  -> row id - V of what `prompt()` returns: a trained table, or the output of a prompt encoder

Soft tokens are then ordinary ids of a prompt: no offsets, masks stay where they are, and one mechanism serves masked and causal models,
quantized or not. The logits equal those of the same vectors passed through `inputs_embeds`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from workbench.errors import MethodError
from workbench.methods.attached import WEIGHTS_FILE, Attached, compare_states, read_weights
from workbench.methods.learnt import Learnt, nearest_words
from workbench.methods.manifest import check_manifest, layer_count, write_manifest
from workbench.models.families.family import bare_model
from workbench.prompts.soft import SoftSlots
from workbench.prompts.tokenization import plain_tokenizer

if TYPE_CHECKING:
    from workbench.methods.registry import Options
    from workbench.models.loading import LoadedModel

PEFT_WEIGHTS, PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"
# Lester et al. 2021 (section 3.2) start from the 5,000 most common tokens; vocabularies are sorted by frequency, special ids first.
COMMON_TOKENS = 5000


class SoftTable(nn.Module):
    """Soft tokens as they are: [n, E] trained directly."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(start.clone())

    def forward(self) -> Tensor:
        """The vectors of all soft tokens, [n, E]."""
        return self.weight


class SoftEmbedding(nn.Module):
    """Takes the place of a model's word embeddings. `weight` is the model's own table, for whoever ties to it.

    Args:
        table: the model's own embedding module; stays frozen and in place.
        prompt: called without arguments, returns the soft tokens' vectors [n, E].
        start: id of the first soft token, the number of rows of `table`.
    """

    def __init__(self, table: nn.Module, prompt: nn.Module, start: int) -> None:
        super().__init__()
        self.table, self.prompt, self.start = table, prompt, start

    @property
    def weight(self) -> Tensor:
        """The model's own table, [V, E]."""
        return self.table.weight

    def forward(self, input_ids: Tensor) -> Tensor:
        """[B, T] ids to [B, T, E]."""
        soft = input_ids >= self.start
        words = self.table(input_ids.masked_fill(soft, 0))
        rows = functional.embedding((input_ids - self.start).clamp_min(0), self.prompt())
        return torch.where(soft.unsqueeze(-1), rows.to(words.dtype), words)


class SoftMethod(Attached):
    """What the methods that fill soft tokens share: slots, starting vectors, putting the module in and out, saving.

    A subclass says how vectors become soft tokens (`_encoder`), and may train more of the model (`_backbone`).
    """

    peft_type = "PROMPT_TUNING"
    fills_soft = True

    def _setup(self, keep_original: bool) -> None:
        model = bare_model(self.loaded.model)
        path = self.loaded.family.embeddings_path
        self._parent, self._name = model.get_submodule(path.rpartition(".")[0]), path.rpartition(".")[2]
        table = getattr(self._parent, self._name)
        templates = self.prompt.templates if self.prompt is not None else ()
        self.soft = SoftSlots(self.loaded.tokenizer, start=table.weight.shape[0], length=self.options.length, templates=templates)
        backbone = self._backbone()
        chosen = {id(parameter) for _, parameter in backbone}
        for parameter in self.loaded.model.parameters():
            parameter.requires_grad_(id(parameter) in chosen)
        self._selected = backbone
        if keep_original:
            self._original = {name: parameter.detach().clone() for name, parameter in backbone}
        self.embedding = SoftEmbedding(table, self._encoder(self._start(table)), table.weight.shape[0])
        setattr(self._parent, self._name, self.embedding)

    def _backbone(self) -> list[tuple[str, nn.Parameter]]:
        """The model's own parameters that are trained beside the soft tokens."""
        return []

    def _encoder(self, start: Tensor) -> nn.Module:
        """The module whose output is the soft tokens, from vectors [n, E] to start from."""
        return SoftTable(start)

    def parameters(self) -> list[tuple[str, nn.Parameter]]:
        return [*((f"soft.{name}", p) for name, p in self.embedding.prompt.named_parameters()), *self._selected]

    def vectors(self) -> Tensor:
        """The soft tokens as the model reads them, [n, E], without a gradient."""
        with torch.no_grad():
            return self.embedding.prompt().detach().clone()

    def places(self) -> frozenset[str]:
        return frozenset({"prompt"})

    def formula(self) -> tuple[str, int] | None:
        count, width = self.soft.count if self.soft else 0, self.embedding.weight.shape[1]
        return f"{count} \u00d7 {width}", count * width

    def learnt(self, read_rows: Callable[[], object]) -> Learnt:
        return nearest_words(self.vectors(), self.embedding.weight, self.loaded.tokenizer)

    def save_final(self, folder: Path) -> None:
        """Writes the vectors alone: in peft's format where peft has such a prompt, else beside what was trained of the model."""
        vectors = self.vectors().cpu().contiguous()
        if self.loaded.kind == "causal" and self.soft is not None and self.soft.all_in_front and not self._selected:
            write_peft_prompt(folder, self.loaded, vectors, peft_type=self.peft_type, **self._peft_options())
        else:
            backbone = {name: p.detach().to("cpu", copy=True).contiguous() for name, p in self._selected}
            save_file({"soft.weight": vectors, **backbone}, folder / WEIGHTS_FILE, metadata={"format": "pt"})
        write_manifest(folder, self.loaded, self.options, vectors_only=True)

    def restore(self, folder: Path) -> None:
        manifest = check_manifest(folder, self.loaded, self.options)
        if not manifest.get("vectors_only"):
            self.load_state(read_weights(folder / WEIGHTS_FILE))
            return
        in_peft = (folder / PEFT_WEIGHTS).exists()
        state = read_weights(folder / (PEFT_WEIGHTS if in_peft else WEIGHTS_FILE))
        if in_peft:
            state = {"soft.weight": state.pop("prompt_embeddings", torch.empty(0)), **state}
        compare_states(state, {"soft.weight": self.vectors(), **dict(self._selected)})
        # Nothing but the vectors was kept, so from here on they are a plain table.
        self.embedding.prompt = SoftTable(state.pop("soft.weight").to(self.loaded.device))
        with torch.no_grad():
            for name, parameter in self._selected:
                parameter.copy_(state[name])

    def merge(self) -> nn.Module:
        raise MethodError(
            "Soft tokens are part of the prompt, not of the weights, so they cannot be merged into the model.",
            fix="Export without merging; the soft tokens are a few kilobytes beside the model.",
        )

    def _remove(self) -> None:
        setattr(self._parent, self._name, self.embedding.table)
        super()._remove()

    def _peft_options(self) -> dict[str, Any]:
        """What peft's configuration of this kind of prompt says beside its sizes."""
        return {}

    def _start(self, table: nn.Module) -> Tensor:
        """Vectors [n, E] that the soft tokens start from; the words a template gives win over the option."""
        assert self.soft is not None
        given = [-1] * self.soft.count
        chosen = self._start_ids(self.soft.count)
        for run in self.soft.runs:
            if run.word_ids:
                for place in range(run.count):
                    given[run.offset + place] = run.word_ids[place % len(run.word_ids)]
            elif chosen:
                for place in range(run.offset, run.offset + run.count):
                    given[place] = chosen[place % len(chosen)]
        weight: Any = table.weight
        ids = torch.tensor(given, device=weight.device)
        with torch.no_grad():
            words = table(ids.clamp_min(0)).float()
            random = torch.randn(words.shape, device=words.device) * _spread(weight)
            return torch.where((ids >= 0).unsqueeze(-1), words, random)

    def _start_ids(self, count: int) -> list[int]:
        """Vocabulary ids to start from, taken in turn; none for a random start."""
        init = self.options.init
        if init == "random":
            return []
        if init == "vocabulary":
            ordinary = ordinary_ids(self.loaded.tokenizer)
            order = torch.randperm(len(ordinary), device="cpu")[:count].tolist()
            return [ordinary[place] for place in order]
        texts = [self.options.words] if init == "words" else label_words(self.prompt)
        plain = plain_tokenizer(self.loaded.tokenizer)
        ids = [token for text in texts for token in plain.encode(" " + text)]
        if not ids:
            raise MethodError(
                f"There are no {'words' if init == 'words' else 'label words'} for the soft tokens to start from.",
                fix="Set method.words, or set method.init to vocabulary.",
            )
        return ids


def write_peft_prompt(folder: Path, loaded: LoadedModel, table: Tensor, *, peft_type: str, **more: Any) -> None:
    """Writes a prompt [n, width] of a causal model as peft 0.21 reads it, every size written out."""
    content = {
        "base_model_name_or_path": loaded.name,
        "inference_mode": True,
        # peft asks for a number and takes it for prefixes alone, which a model without attention cannot have.
        "num_attention_heads": getattr(loaded.model.config, "num_attention_heads", 1),
        "num_layers": layer_count(loaded.model),
        "num_transformer_submodules": 1,
        "num_virtual_tokens": table.shape[0],
        "peft_type": peft_type,
        "task_type": "CAUSAL_LM",
        "token_dim": table.shape[1],
        **more,
    }
    save_file({"prompt_embeddings": table}, folder / PEFT_WEIGHTS, metadata={"format": "pt"})
    (folder / PEFT_CONFIG).write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")


def refuse_words_without_text(options: Options) -> None:
    """For validators: `init: words` needs `words`."""
    if options.init == "words" and not options.words.strip():
        raise ValueError("init 'words' needs the option 'words'")


def label_words(prompt: Any | None) -> list[str]:
    """Every word of a recipe's verbalizer and of its templates' own, label by label; empty without one."""
    sets = [] if prompt is None else [prompt.verbalizer.get("words"), *(prompt.template_words or ())]
    found = []
    for words in sets:
        for given in words.values() if isinstance(words, dict) else ():
            found += [str(word) for word in (given if isinstance(given, (list, tuple, dict)) else [given])]
    return found


def ordinary_ids(tokenizer: Any) -> list[int]:
    """Ids of common tokens that hold a letter and are no special or unused ones."""
    special = set(tokenizer.all_special_ids)
    tokens = tokenizer.convert_ids_to_tokens(list(range(min(len(tokenizer), 2 * COMMON_TOKENS))))
    found = [
        index
        for index, token in enumerate(tokens)
        if index not in special and token and token[0] not in "[<" and any(character.isalpha() for character in token)
    ]
    return found[:COMMON_TOKENS] or [index for index in range(len(tokenizer)) if index not in special]


def _spread(weight: Tensor) -> float:
    """Standard deviation of the embedding table's entries; 0.02, what models are initialised with, where there are no numbers."""
    return 0.02 if weight.is_meta else float(weight[: 2 * COMMON_TOKENS].float().std())
