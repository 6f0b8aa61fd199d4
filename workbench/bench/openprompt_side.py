"""OpenPrompt's side of the bench: run as a script by the Python of an environment that has OpenPrompt, never imported by the workbench's.

    python openprompt_side.py FOLDER train|predict BATCH RATE

FOLDER holds model/ and rows.json ({"texts", "labels", "classes", "words"}). The last line on stdout is one JSON object: processor and wall
seconds of the work alone, without imports, loading and tokenizing, and the class probabilities of every row.
"""

from __future__ import annotations

import json
import sys
import time
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

TEXT = '{"placeholder": "text_a"} It was {"mask"} .'
LENGTH = 256


def patch_imports() -> None:
    """OpenPrompt imports `datasets` for examples that are not used here."""
    stub: Any = types.ModuleType("datasets")
    stub.__spec__ = ModuleSpec("datasets", None)
    stub.load_dataset = stub.load_from_disk = None
    sys.modules["datasets"] = stub


def make_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model's folder in the old form that OpenPrompt knows; it is read from `tokenizer.json`."""
    from transformers import PreTrainedTokenizerFast

    class Fast(PreTrainedTokenizerFast):
        """With the two methods that OpenPrompt asks of a slow tokenizer."""

        def build_inputs_with_special_tokens(self, first: list[int], second: Any = None) -> list[int]:
            return [self.cls_token_id, *first, self.sep_token_id]

        def get_special_tokens_mask(self, first: list[int], second: Any = None, already_has_special_tokens: bool = False) -> list[int]:
            return [1, *[0] * len(first), 1]

    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]", "unk_token": "[UNK]"}
    return Fast(tokenizer_file=str(folder / "tokenizer.json"), model_max_length=512, **names)


def main() -> None:
    """Does the work that the arguments name and prints what the module docstring says."""
    folder, work, batch, rate = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    patch_imports()
    import torch
    from openprompt import PromptDataLoader, PromptForClassification
    from openprompt.data_utils import InputExample
    from openprompt.plms.mlm import MLMTokenizerWrapper
    from openprompt.prompts import ManualTemplate, ManualVerbalizer
    from transformers import BertForMaskedLM

    torch.set_num_threads(1)
    rows = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
    tokenizer = make_tokenizer(folder / "model")
    model = BertForMaskedLM.from_pretrained(folder / "model", trust_remote_code=False)
    template = ManualTemplate(tokenizer=tokenizer, text=TEXT)
    verbalizer = ManualVerbalizer(tokenizer, classes=rows["classes"], label_words=rows["words"], prefix="")
    prompt_model = PromptForClassification(plm=model, template=template, verbalizer=verbalizer)
    pairs = zip(rows["texts"], rows["labels"], strict=True)
    examples = [InputExample(guid=number, text_a=text, label=label) for number, (text, label) in enumerate(pairs)]
    loader = PromptDataLoader(
        dataset=examples, template=template, tokenizer=tokenizer, tokenizer_wrapper_class=MLMTokenizerWrapper, max_seq_length=LENGTH,
        batch_size=batch, shuffle=work == "train",
    )  # fmt: skip
    cpu, wall = time.process_time(), time.perf_counter()
    found = train(prompt_model, loader, rate) if work == "train" else predict(prompt_model, loader)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(json.dumps({"cpu_seconds": cpu, "seconds": wall, "probabilities": found}))


def train(model: Any, loader: Any, rate: float) -> list[Any]:
    """One epoch as in its tutorial, with torch's own AdamW."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    model.train()
    for inputs in loader:
        loss = torch.nn.functional.cross_entropy(model(inputs), inputs["label"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return []


def predict(model: Any, loader: Any) -> list[Any]:
    """Class probabilities [N][C] of every row, in the loader's order."""
    import torch

    model.eval()
    with torch.no_grad():
        return [row for inputs in loader for row in torch.softmax(model(inputs), dim=-1).tolist()]


if __name__ == "__main__":
    main()
