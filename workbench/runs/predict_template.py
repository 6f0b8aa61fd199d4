"""Answers with the tuned model in this folder. It needs only what requirements.txt names.

    python predict.py "One sentence." "Another one."
    python predict.py --field premise="..." --field hypothesis="..."

Prints a JSON list in the order asked: {"label", "probabilities"} of a model that chooses between classes, {"text"} of one that writes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


def load_generator(recipe, about):
    """What writes with this folder's weights."""
    from workbench.models.loading import load_model
    from workbench.serving.generator import Generator, tuned_generator

    loaded = load_model(recipe.model)
    return Generator(loaded, None, recipe) if about["merged"] else tuned_generator(loaded, recipe, HERE / "tuned")


def load_predictor(recipe, about):
    """The predictor over this folder's weights."""
    from workbench.models.loading import load_model
    from workbench.serving.predictor import Predictor
    from workbench.serving.tuned import tune

    tuned = tune(load_model(recipe.model), recipe, tuple(about["labels"]), method=not about["merged"])
    tuned.restore(HERE / "tuned")
    return Predictor(tuned.loaded, tuned, recipe, tuned.classifier.labels)


def written(generator, rows, arguments):
    """One text for each row."""
    from workbench.serving.generator import Sampling

    sampling = Sampling(arguments.temperature, arguments.top_p, arguments.tokens or generator.recipe.prompt.max_new_tokens)
    return [{"text": text} for text in generator.answers(rows, sampling)]


def chosen(predictor, rows):
    """Label and probabilities for each row."""
    answers = predictor.predict(rows, label_words=False)
    return [{"label": answer.label, "probabilities": answer.probabilities} for answer in answers]


def main() -> int:
    """Answers the sentences and rows of the command line and of standard input, in that order; 0 is its exit code."""
    parser = argparse.ArgumentParser(description="Answer with the tuned model in this folder.")
    parser.add_argument("texts", nargs="*", help="sentences, one answer each, for a template with one field")
    parser.add_argument("--field", action="append", default=[], metavar="NAME=TEXT", help="a field of one example; repeat for each")
    parser.add_argument("--fields-from-stdin", action="store_true", help="read a JSON list of {field: text} from standard input")
    parser.add_argument("--tokens", type=int, help="of a model that writes: the most tokens of an answer")
    parser.add_argument("--temperature", type=float, default=0.0, help="of a model that writes: 0 takes the most probable token")
    parser.add_argument("--top-p", type=float, default=1.0, help="of a model that writes: the share of tokens drawn from")
    arguments = parser.parse_args()
    from workbench.recipe import load_recipe

    about = json.loads((HERE / "export.json").read_text(encoding="utf-8"))
    recipe = load_recipe(HERE / "recipe.yaml")
    writes = recipe.task == "generation"
    model = load_generator(recipe, about) if writes else load_predictor(recipe, about)
    names = list(model.fields if writes else recipe.fields)
    rows = [{names[0]: text} for text in arguments.texts]
    if arguments.field:
        rows.append(dict(pair.split("=", 1) for pair in arguments.field))
    if arguments.fields_from_stdin:
        rows += json.loads(sys.stdin.buffer.read().decode("utf-8"))
    print(json.dumps(written(model, rows, arguments) if writes else chosen(model, rows), ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
