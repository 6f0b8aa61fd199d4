"""Answers with the tuned model in this folder. It needs only what requirements.txt names.

    python predict.py "One sentence." "Another one."
    python predict.py --field premise="..." --field hypothesis="..."

Prints a JSON list of {"label", "probabilities"} in the order asked.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


def load_predictor():
    """The predictor over this folder's weights."""
    from workbench.models.loading import load_model
    from workbench.recipe import load_recipe
    from workbench.serving.predictor import Predictor
    from workbench.serving.tuned import tune

    about = json.loads((HERE / "export.json").read_text(encoding="utf-8"))
    recipe = load_recipe(HERE / "recipe.yaml")
    tuned = tune(load_model(recipe.model), recipe, tuple(about["labels"]), method=not about["merged"])
    tuned.restore(HERE / "tuned")
    return Predictor(tuned.loaded, tuned, recipe, tuned.classifier.labels)


def main() -> int:
    """Answers the sentences and rows of the command line and of standard input, in that order; 0 is its exit code."""
    parser = argparse.ArgumentParser(description="Answer with the tuned model in this folder.")
    parser.add_argument("texts", nargs="*", help="sentences, one answer each, for a template with one field")
    parser.add_argument("--field", action="append", default=[], metavar="NAME=TEXT", help="a field of one example; repeat for each")
    parser.add_argument("--fields-from-stdin", action="store_true", help="read a JSON list of {field: text} from standard input")
    arguments = parser.parse_args()
    predictor = load_predictor()
    names = list(predictor.recipe.fields)
    rows = [{names[0]: text} for text in arguments.texts]
    if arguments.field:
        rows.append(dict(pair.split("=", 1) for pair in arguments.field))
    if arguments.fields_from_stdin:
        rows += json.loads(sys.stdin.buffer.read().decode("utf-8"))
    answers = predictor.predict(rows, label_words=False)
    print(json.dumps([{"label": answer.label, "probabilities": answer.probabilities} for answer in answers], ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
