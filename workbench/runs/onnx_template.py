"""Answers with the tuned model in this folder. It needs only what requirements.txt names: onnxruntime, tokenizers and numpy.

    python predict.py "One sentence." "Another one."
    python predict.py --field premise="..." --field hypothesis="..."

Prints a JSON list of {"label", "probabilities"} in the order asked.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy
import onnxruntime
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
ROWS_AT_ONCE = 16


class Rules:
    """The tokenizer as the prompts ask for it: its rules, and the special tokens that the run's had."""

    def __init__(self, special: dict) -> None:
        self.__dict__.update(special)
        self.backend_tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))


class Prompts:
    """Rows as the graph takes them: the run's templates over its tokenizer."""

    def __init__(self, about: dict) -> None:
        from workbench.prompts.encoding import PromptEncoder
        from workbench.prompts.soft import SoftSlots
        from workbench.prompts.template import parse_template

        tokenizer = Rules(about["tokenizer"])
        templates, soft = about["templates"], about["soft"]
        slots = SoftSlots(tokenizer, templates=templates, **soft) if soft else None
        self.plan, self._pad = about["plan"], about["pad"]
        self._encoders = [
            PromptEncoder(parse_template(source, needs_mask=False), tokenizer, max_length=about["max_length"], causal=False, soft=slots)
            for source in templates
        ]

    def tensors(self, rows: list[dict[str, str]]) -> dict[str, numpy.ndarray]:
        """Token ids, which of them are real, and mask positions, by the graph's names."""
        found = {}
        for place, (template, masks) in enumerate(self.plan):
            encodings = self._encoders[template].encode_many(rows, masks=masks)
            ids = numpy.full((len(rows), max(len(e.input_ids) for e in encodings)), self._pad, dtype=numpy.int64)
            seen = numpy.zeros_like(ids)
            for row, encoding in enumerate(encodings):
                ids[row, : len(encoding.input_ids)] = encoding.input_ids
                seen[row, : len(encoding.input_ids)] = 1
            at = numpy.array([encoding.mask_positions or [0] for encoding in encodings], dtype=numpy.int64)
            found |= {f"ids_{place}": ids, f"seen_{place}": seen, f"at_{place}": at}
        return found


def probabilities(about: dict, rows: list[dict[str, str]]) -> list[list[float]]:
    """Class probabilities of each row, in the order of the labels."""
    prompts, session = Prompts(about), onnxruntime.InferenceSession(str(HERE / "model.onnx"), providers=["CPUExecutionProvider"])
    wanted = {given.name for given in session.get_inputs()}
    found: list[list[float]] = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        tensors = prompts.tensors(rows[start : start + ROWS_AT_ONCE])
        found += session.run(None, {name: value for name, value in tensors.items() if name in wanted})[0].astype(float).tolist()
    return found


def main() -> int:
    """Answers the sentences and rows of the command line and of standard input, in that order; 0 is its exit code."""
    parser = argparse.ArgumentParser(description="Answer with the tuned model in this folder.")
    parser.add_argument("texts", nargs="*", help="sentences, one answer each, for a template with one field")
    parser.add_argument("--field", action="append", default=[], metavar="NAME=TEXT", help="a field of one example; repeat for each")
    parser.add_argument("--fields-from-stdin", action="store_true", help="read a JSON list of {field: text} from standard input")
    arguments = parser.parse_args()
    about = json.loads((HERE / "onnx.json").read_text(encoding="utf-8"))
    rows = [{about["fields"][0]: text} for text in arguments.texts]
    if arguments.field:
        rows.append(dict(pair.split("=", 1) for pair in arguments.field))
    if arguments.fields_from_stdin:
        rows += json.loads(sys.stdin.buffer.read().decode("utf-8"))
    answers = []
    for row in probabilities(about, rows):
        shares = dict(zip(about["labels"], row, strict=True))
        answers.append({"label": max(shares, key=shares.__getitem__), "probabilities": shares})
    print(json.dumps(answers, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
