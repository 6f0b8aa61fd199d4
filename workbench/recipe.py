"""The recipe: the one description of an experiment that the page edits, the command line reads and a run remembers.

A recipe is YAML. Reading one reports every mistake together, each with the place and, for an unknown key, the nearest known key.
Method and verbalizer options belong to their registries (`workbench.methods`, `workbench.prompts.verbalizers`); here they are
kept as given and checked by whoever owns them, so that importing this module stays cheap.
"""

from __future__ import annotations

import reprlib
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import RecipeError, nearest
from workbench.options import by_place
from workbench.recipe_places import HALF, at_line, half_characters, lines_of
from workbench.yaml_text import parse_yaml

PROJECT = Path(__file__).resolve().parent.parent
PRESETS = PROJECT / "presets"
MEASURED: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", "macro_f1", "loss"),
    "generation": ("loss", "perplexity", "bleu", "rouge_l"),
}
"""The single figures of an evaluation, by task; the first says which evaluation is best where early stopping looks at none of them."""
LESS_IS_BETTER = ("loss", "perplexity")
MOST_MISTAKES = 20
"""That one sentence names; the rest is a number."""


class Part(BaseModel):
    """A part of a recipe; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, protected_namespaces=(), allow_inf_nan=False)


class ModelPart(Part):
    """Which model, in which precision, on which device."""

    path: str = Field("embedded:tiny-en", description="embedded:NAME, a folder, a hub id, or modelscope:owner/name.")
    revision: str | None = Field(None, description="Branch, tag or commit of a hub model.")
    quantization: Literal["none", "int8", "nf4", "fp4"] = "none"
    double_quantization: bool = Field(True, description="Whether the scales of nf4 and fp4 weights are kept in 8 bits too.")
    compute_dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto", description="Type in which nf4 and fp4 weights are multiplied; auto is bfloat16 on a GPU that has it, float32 elsewhere."
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$")


class SplitPart(Part):
    """How rows are taken when the file brings no split of its own."""

    shots: int | None = Field(None, ge=0, description="Training rows per class; null takes every row that is left, 0 none.")
    validation: int = Field(200, ge=0, description="Validation rows in all, shared among the classes.")
    seed: int = Field(13, ge=0)


class DataPart(Part):
    """Files and the columns that feed the template's fields."""

    train: str = "presets/data/en_movie_reviews.csv"
    validation: str | None = None
    unlabeled: str | None = None
    encoding: str = Field(
        "auto", max_length=40, description="Encoding of these files where they are text, such as gb18030 or big5; auto finds it or refuses."
    )
    columns: dict[str, str] = Field(
        default_factory=lambda: {"text": "text", "label": "label"},
        description="Template field -> file column; the key 'label' names the label column.",
    )
    soft_labels: str | None = Field(
        None, description="Beginning of columns with a probability per label, such as probability_, to be learnt instead of the label."
    )
    only: dict[str, str] = Field(
        default_factory=dict, description="File column -> value: only rows that hold it are read, such as {label: positive}."
    )
    split: SplitPart = Field(default_factory=SplitPart)


class PromptPart(Part):
    """Templates and verbalizer; several templates make a PET ensemble."""

    templates: list[str] = Field(default_factory=lambda: ["{text} It was [MASK] ."], min_length=1)
    verbalizer: dict[str, Any] = Field(
        default_factory=lambda: {"kind": "manual", "words": {"positive": ["great", "good"], "negative": ["terrible", "bad"]}}
    )
    template_words: list[dict[str, Any] | None] | None = Field(
        None, exclude_if=lambda words: words is None,
        description="Label words of single templates, one entry per template: label -> words, or null for those of the verbalizer.",
    )  # fmt: skip
    max_length: int = Field(128, ge=8, le=131072, description="Tokens per encoded prompt, special tokens included.")
    chat: Literal["auto", "chat", "plain"] = Field(
        "auto", description="Generation: the model's own chat template, or plain text; auto takes the template when there is one."
    )
    system: str = Field("", description="Generation: what a chat template's system message says; empty for none.")
    max_new_tokens: int = Field(64, ge=1, le=4096, description="Generation: tokens of an answer at most.")

    def verbalizer_of(self, number: int) -> dict[str, Any]:
        """The verbalizer of one template: the prompt's, with the template's own label words where it has some (PET's pairs)."""
        words = self.template_words[number] if self.template_words else None
        return self.verbalizer if words is None else {**self.verbalizer, "words": words}

    def alone(self, number: int) -> PromptPart:
        """The prompt with one of its templates, in that one's words."""
        pair = {"templates": [self.templates[number]], "verbalizer": self.verbalizer_of(number), "template_words": None}
        return self.model_copy(update=pair)


class EarlyStopping(Part):
    """Stops once `metric` on the validation rows has not got better for `patience` evaluations; the weights best by it are kept."""

    metric: Literal["accuracy", "macro_f1", "loss", "perplexity", "bleu", "rouge_l"] = Field(
        "accuracy", description="Classification measures accuracy, macro_f1 and loss; generation loss, perplexity, bleu and rouge_l."
    )
    patience: int = Field(3, ge=1, description="Evaluations without improvement before the run stops.")


Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Steps = Annotated[int, Field(ge=1)]
MOST_EPOCHS, LARGEST_BATCH = 10_000, 65_536


class TrainingPart(Part):
    """How long and how fast."""

    epochs: float = Field(5, gt=0, le=MOST_EPOCHS)
    batch_size: int = Field(16, ge=1, le=LARGEST_BATCH)
    batch_tokens: int | None = Field(
        None, ge=1, description="Tokens of a forward pass at most, with padding; longer batches are read in parts, to the same gradients."
    )
    learning_rate: Rate | Literal["auto"] = "auto"
    scheduler: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of all steps over which the learning rate rises.")
    weight_decay: float = Field(0.01, ge=0)
    max_gradient_norm: float = Field(1.0, gt=0)
    seed: int = Field(13, ge=0)
    early_stopping: EarlyStopping | None = None
    gradient_accumulation: int = Field(1, ge=1)
    gradient_checkpointing: bool = False
    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    evaluate_every: Steps | Literal["auto"] = Field("auto", description="Steps between evaluations; auto is once an epoch.")
    checkpoint_every: Steps | Literal["auto"] = Field("auto", description="Steps between checkpoints; auto follows the evaluations.")
    cache_features: Literal["auto", "never"] = Field(
        "auto", description="Under a body that does not train: auto reads each row once, without dropout, never at every step, with it."
    )
    lm_loss: float = Field(0.0, ge=0, lt=1, description="Weight of an auxiliary masked-word loss on unlabelled rows; PET's is 0.0001.")
    temperature: float = Field(1.0, gt=0, description="Temperature of soft labels.")
    answered_rows: int = Field(
        16, ge=1, le=100_000, description="Generation: validation rows that are answered at each evaluation, for BLEU and ROUGE-L."
    )


class PetPart(Part):
    """PET (Schick & Schuetze 2021): every template trained, an ensemble that labels unlabelled rows, one model distilled from them."""

    seeds: int = Field(3, ge=1, le=20, description="Trainings per template, with seeds training.seed and the ones after it.")
    weighting: Literal["accuracy", "uniform"] = Field(
        "accuracy", description="Weight of a template in the ensemble: its accuracy on the training rows before training, or all alike."
    )
    temperature: float = Field(2.0, gt=0, description="Temperature at which the ensemble labels softly and the distilled model learns.")
    unlabeled: int = Field(1000, ge=2, description="Unlabelled rows, from data.unlabeled or else from the training file's unused rows.")
    distill: Literal["head", "pattern"] = Field("pattern", description="What is distilled: a classification head, or the best template.")
    distill_epochs: float = Field(3, gt=0, le=MOST_EPOCHS, description="Passes over the softly labelled rows.")
    generations: int = Field(0, ge=0, le=10, description="iPET generations; 0 is PET.")
    growth: float = Field(5, ge=2, le=10_000, description="How many times larger each generation's training set is (d in the paper).")
    teachers: float = Field(0.25, gt=0, le=1, description="Share of the other models that label a model's next training set (lambda).")


class Recipe(Part):
    """One experiment, complete. Immutable by convention: `replace` makes a changed copy."""

    name: str = Field("untitled", max_length=200)
    task: Literal["classification", "generation"] = "classification"
    model: ModelPart = Field(default_factory=ModelPart)
    data: DataPart = Field(default_factory=DataPart)
    prompt: PromptPart = Field(default_factory=PromptPart)
    method: dict[str, Any] = Field(default_factory=lambda: {"name": "full"})
    training: TrainingPart = Field(default_factory=TrainingPart)
    pet: PetPart | None = Field(None, description="All templates as a PET ensemble, distilled into one model; null trains one model.")
    job: dict[str, Any] | None = Field(None, description="Other work than training this recipe: {kind: NAME, and that kind's options}.")

    @property
    def kind(self) -> str:
        """What a run of this recipe does: `train`, or the kind of its job."""
        if self.job is not None:
            return str(self.job.get("kind", ""))
        return "train" if self.pet is None else "pet"

    @property
    def deciding(self) -> str:
        """The figure that says which evaluation is best: early stopping's where the task measures it, else the task's first."""
        measured, stopping = MEASURED[self.task], self.training.early_stopping
        return stopping.metric if stopping and stopping.metric in measured else measured[0]

    @property
    def fields(self) -> tuple[str, ...]:
        """What a template may ask for, in the order of the columns: everything but the label, or but the answer of a generation; the
        first message of whole conversations."""
        if self.task == "classification":
            return tuple(name for name in self.data.columns if name != "label")
        if "messages" in self.data.columns:
            return ("message",)
        return tuple(name for name in self.data.columns if name != "response")

    def with_places(self, change: Callable[[str], str]) -> Recipe:
        """A copy in which `change` has been applied to every data file and to the places of its models, those that a board compares too."""
        files = {f"data.{name}": getattr(self.data, name) for name in ("train", "validation", "unlabeled")}
        places = {**files, "model.path": self.model.path}
        changes: dict[str, Any] = {field: change(place) for field, place in places.items() if place}
        models = (self.job or {}).get("models")
        if isinstance(models, list):
            changes["job"] = {**(self.job or {}), "models": [change(place) if isinstance(place, str) else place for place in models]}
        return self.replace(changes)

    def to_yaml(self) -> str:
        """The recipe as a person would write it: in the fields' order, characters as they are, without a job when there is none."""
        content = self.model_dump(exclude={name for name in ("pet", "job") if getattr(self, name) is None})
        look: dict[str, Any] = {"allow_unicode": True, "sort_keys": False, "width": 120}
        # libyaml is five times as quick, and every edit of the page writes the recipe; emoji become escapes in its hands.
        quick: str = yaml.dump(content, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), **look)
        return yaml.safe_dump(content, **look) if "\\U000" in quick else quick

    def replace(self, assignments: dict[str, Any]) -> Recipe:
        """A copy with dotted fields set, such as {'method.name': 'lora', 'training.seed': 1}.

        Raises:
            RecipeError: with every mistake, when a field is unknown or a value does not fit.
        """
        content = self.model_dump()
        for dotted, value in assignments.items():
            place = content
            *parents, last = dotted.split(".")
            for parent in parents:
                if not isinstance(place.get(parent), dict):
                    place[parent] = {}
                place = place[parent]
            place[last] = value
        return recipe_from(content, source="recipe")


def recipe_from(content: Any, *, source: str, text: str = "") -> Recipe:
    """A recipe from plain values. `source` names the file or form in messages; with the `text` they were read from, lines too.

    Raises:
        RecipeError: naming every mistake at once.
    """
    if not isinstance(content, dict):
        raise RecipeError(
            f"{source} does not hold a recipe.", fix="A recipe is a mapping of name, model, data, prompt, method and training."
        )
    try:
        recipe = Recipe.model_validate(content)
        mistakes = [f"'{'.'.join(place)}' holds half of a character, which no file can." for place in half_characters(content)]
        mistakes += [at_line(("prompt", "template_words"), lines_of(text)) + misfit for misfit in _misfits(recipe)]
    except ValidationError as error:
        lines = lines_of(text)
        mistakes = [at_line(place, lines) + _what(mistake, place) for place, mistake in by_place(error).items()]
    if len(mistakes) > MOST_MISTAKES:
        mistakes = [*mistakes[:MOST_MISTAKES], f"There are {len(mistakes) - MOST_MISTAKES} more mistakes."]
    if mistakes:
        raise RecipeError(f"{source}: {' '.join(mistakes)}", fix="Correct these fields and try again.")
    return recipe


def load_recipe(path: str | Path, assignments: dict[str, Any] | None = None) -> Recipe:
    """Reads a recipe file, or a preset by its bare name, and applies dotted assignments.

    Relative data files and model folders are looked up beside the recipe, then from the working folder, then in the project, and
    come back absolute.
    """
    file = find_recipe(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
        content = parse_yaml(text, source=file.name)
    except (OSError, UnicodeDecodeError):
        raise RecipeError(f"{file.name} is not a readable text file.", fix="Save it as UTF-8 text.") from None
    recipe = recipe_from(content, source=file.name, text=text)
    if assignments:
        recipe = recipe.replace(assignments)
    return anchor(recipe, file.parent)


def load_preset(name: str) -> Recipe:
    """A preset recipe by its name, and nothing else: the name comes from a page, and a path is none."""
    if name not in preset_names():
        raise RecipeError("There is no such preset.", fix=nearest(name[:64], preset_names()))
    return load_recipe(PRESETS / "recipes" / f"{name}.yaml")


def find_recipe(path: str | Path) -> Path:
    """The recipe file for a path, or for the bare name of a preset or of an entry of the catalog."""
    candidate = Path(path)
    if candidate.is_file():
        return candidate
    folders = (PRESETS / "recipes", PRESETS / "catalog")
    for folder in folders:
        preset = folder / f"{candidate.name.removesuffix('.yaml')}.yaml"
        if preset.is_file() and len(candidate.parts) == 1:
            return preset
    known = [p.stem for folder in folders for p in folder.glob("*.yaml")]
    if not known:
        raise RecipeError(
            f"There is no recipe '{path}', and no presets: the folder presets/recipes is missing or empty.",
            fix="Restore the folder presets of this project, or give the path of a recipe file.",
        )
    raise RecipeError(f"There is no recipe '{path}'.", fix=nearest(candidate.stem, known))


def anchor(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with every relative file that exists made absolute; names that match no file stay as they are."""
    return recipe.with_places(lambda place: place if place.startswith("embedded:") else resolve_path(place, folder))


def resolve_path(value: str, folder: Path) -> str:
    """`value` as an absolute path if it is found beside `folder`, in the working folder or in the project; else unchanged."""
    if Path(value).is_absolute():
        return value
    for base in (folder, Path.cwd(), PROJECT):
        try:
            if (base / value).exists():
                return str((base / value).resolve())
        except (OSError, ValueError):  # too long, or with a NUL in it: no file has that name
            return value
    return value


def preset_names() -> list[str]:
    """Names of the preset recipes, sorted; empty when the presets folder is absent."""
    return sorted(p.stem for p in (PRESETS / "recipes").glob("*.yaml"))


def _misfits(recipe: Recipe) -> list[str]:
    words, templates = recipe.prompt.template_words, len(recipe.prompt.templates)
    if words is None:
        return []
    if recipe.task != "classification":
        return ["'prompt.template_words' is for classification."]
    if len(words) != templates:
        return [f"'prompt.template_words' has {len(words)} entries, not one for each template: {templates}."]
    return []


def _known_fields(location: tuple[Any, ...]) -> list[str]:
    model: Any = Recipe
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return []
        choices = [field.annotation, *typing.get_args(field.annotation)]
        model = next((c for c in choices if isinstance(c, type) and issubclass(c, BaseModel)), None)
    return list(getattr(model, "model_fields", {}))


def _what(mistake: Any, place: tuple[Any, ...]) -> str:
    name = HALF.sub("\ufffd", ".".join(map(str, place)))
    if mistake["type"] == "extra_forbidden":
        return f"Unknown key '{name}'. {nearest(str(place[-1]), _known_fields(place[:-1]))}"
    # A few lines of YAML aliases can stand for millions of values: only the beginning is shown.
    return f"'{name}' is {reprlib.repr(mistake['input'])}: {mistake['msg'][0].lower()}{mistake['msg'][1:]}."
