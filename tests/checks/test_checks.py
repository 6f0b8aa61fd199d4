"""Each check, on evidence that shows its fault and on evidence that does not; and the whole over a real run of a tiny model."""

import json
from dataclasses import replace

import pytest

from tests.tiny_runs import make_recipe
from tests.training.test_generation import save_qwen
from workbench.checks import Evidence, Seen, check_codes, findings, gather
from workbench.checks.evidence import Written
from workbench.data.dataset import Dataset, InputExample, Splits
from workbench.models.pool import ModelPool
from workbench.recipe import Recipe, load_recipe, preset_names
from workbench.runs.findings import recipe_findings, run_findings
from workbench.runs.service import RunService
from workbench.ui.text import Words, languages

LABELS = ("bad", "good")


def rows(count: int, start: int = 0, text: str = "row number {number}") -> list[InputExample]:
    return [InputExample(str(n), {"text": text.format(number=n)}, LABELS[n % 2]) for n in range(start, start + count)]


def evidence(**changes: object) -> Evidence:
    """A recipe of sixteen rows per class, two hundred to measure on, more left, and a run that learns."""
    splits = Splits(Dataset(rows(32), LABELS), Dataset(rows(200, 1000), LABELS), rest=rows(50, 5000))
    good = Evidence(Recipe().replace({"data.split.shots": 16}), learning(), splits, 1e-3, {"bad": 0.5, "good": 0.5}, [20] * 32, 512)
    return replace(good, **changes)


def learning(**changes: object) -> Seen:
    losses = [1 / (1 + 0.2 * n) for n in range(40)]
    evaluations = [evaluation(step, 0.7 - 0.01 * step, 0.5 + 0.01 * step, [[60, 40], [40, 60]]) for step in (0, 10, 20, 30, 40)]
    return replace(Seen(list(range(1, 41)), losses, evaluations, 1e-3), **changes)


def evaluation(step: int, loss: float, accuracy: float, confusion: list[list[int]]) -> dict:
    return {"step": step, "loss": loss, "accuracy": accuracy, "confusion": confusion, "labels": list(LABELS)}


def codes(found: Evidence) -> list[str]:
    return [finding.code for finding in findings(found)]


def fix(found: Evidence) -> dict:
    (finding,) = findings(found)
    return finding.fix


def test_a_run_that_learns_from_rows_enough_is_left_in_peace():
    assert codes(evidence()) == []


def test_one_class_only_is_seen_in_the_last_evaluation():
    stuck = learning(evaluations=[evaluation(0, 0.7, 0.5, [[100, 0], [100, 0]])] * 2)
    assert "one_class" in codes(evidence(seen=stuck)) and findings(evidence(seen=stuck))[0].values == {"label": "bad"}
    assert findings(evidence(seen=stuck))[0].fix == {"prompt.verbalizer.calibration": "contextual"}
    alike = learning(evaluations=[evaluation(0, 0.7, 1.0, [[100, 0], [0, 0]])])
    assert "one_class" not in codes(evidence(seen=alike)), "rows that are all alike are rightly called alike"


@pytest.mark.parametrize(
    ("losses", "rate", "code", "given", "mended"),
    [
        ([0.7] * 40, 1e-6, "rate_small", 1e-6, "auto"),
        ([0.7] * 40, 1e-3, "rate_small", "auto", 5e-3),
        ([0.7 + 0.05 * n for n in range(40)], 0.5, "rate_large", 0.5, "auto"),
        ([0.7 + 0.05 * n for n in range(40)], 1e-3, "rate_large", 1e-3, 2e-4),
    ],
)
def test_a_learning_rate_is_judged_by_the_training_loss(losses, rate, code, given, mended):
    still = [evaluation(step, 0.7, 0.5, [[60, 40], [40, 60]]) for step in (0, 20, 40)]
    recipe = evidence().recipe.replace({"training.learning_rate": given})
    found = evidence(recipe=recipe, seen=learning(losses=losses, rate=rate, evaluations=still))
    assert codes(found) == [code] and fix(found) == {"training.learning_rate": mended}


def test_a_run_that_ended_in_no_number_had_too_large_a_rate():
    found = evidence(seen=Seen(rate=1.0, failed="Step 3: the training loss is not finite."))
    assert codes(found) == ["rate_large"]


def test_few_steps_are_no_evidence():
    assert codes(evidence(seen=learning(losses=[0.7] * 5, steps=range(5), evaluations=[]))) == []


@pytest.mark.parametrize(("rate", "code", "factor"), [(1e-9, "rate_below", "1,000,000"), (9.0, "rate_above", "9,000")])
def test_a_rate_far_from_the_usual_one_is_told_before_the_first_step_and_after_few(rate, code, factor):
    recipe = evidence().recipe.replace({"training.learning_rate": rate})
    for seen in (Seen(), learning(losses=[0.7] * 5, steps=range(5), evaluations=[], rate=rate)):
        (finding,) = findings(evidence(recipe=recipe, seen=seen))
        assert (finding.code, finding.fix) == (code, {"training.learning_rate": "auto"})
        assert finding.values == {"rate": f"{rate:g}", "usual": "0.001", "factor": factor}
    assert codes(evidence(recipe=recipe)) == [], "a run whose loss falls has shown that its rate is not too far"
    for near in (1e-3 / 20, 1e-3 * 20, "auto"):
        assert codes(evidence(recipe=recipe.replace({"training.learning_rate": near}), seen=Seen())) == []


def test_no_presets_rate_is_far_from_the_usual_one():
    pool, given = ModelPool(), [load_recipe(name) for name in preset_names()]
    found = [finding.code for recipe in given if recipe.training.learning_rate != "auto" for finding in findings(gather(recipe, pool))]
    assert not {"rate_below", "rate_above"} & set(found)


def test_learning_by_heart_asks_for_an_early_stop_and_not_twice():
    events = [evaluation(step, loss, 0.6, [[60, 40], [40, 60]]) for step, loss in enumerate([0.7, 0.5, 0.6, 0.8, 0.9])]
    found = evidence(seen=learning(evaluations=events))
    assert codes(found) == ["by_heart"] and findings(found)[0].values == {"step": "1"}
    assert codes(replace(found, recipe=found.recipe.replace(fix(found)))) == []


def test_a_prior_is_skewed_from_89_to_11():
    assert codes(evidence(prior={"bad": 0.9, "good": 0.1})) == ["skew"] and codes(evidence(prior={"bad": 0.85, "good": 0.15})) == []


def test_cut_texts_get_as_much_room_as_95_in_100_need_and_no_more_than_the_model_has():
    lengths = [20] * 20 + [150] * 10 + [2000] * 2  # 95 of 100 rows: the 31st of 32
    assert fix(evidence(lengths=lengths)) == {"prompt.max_length": 512}
    assert fix(evidence(lengths=[20] * 20 + [150] * 12)) == {"prompt.max_length": 152}
    assert fix(evidence(lengths=[600] * 32, longest=128)) == {} and codes(evidence(lengths=[129] * 2 + [20] * 30)) == []


def test_rows_too_few_to_learn_from_or_to_measure_on():
    few = Splits(Dataset(rows(6), LABELS), Dataset(rows(20, 100), LABELS), rest=rows(9, 200))
    recipe = Recipe().replace({"data.split.shots": 3, "data.split.validation": 20})
    found = findings(evidence(recipe=recipe, splits=few))
    assert [finding.code for finding in found] == ["few_rows", "few_validation_rows"]
    assert found[0].fix == {"data.split.shots": 16} and found[1].fix == {"data.split.validation": 200}
    # 1.96 * sqrt(0.25 / 20) = 0.219
    assert found[1].values == {"count": "20", "points": "22"}
    nothing_left = findings(evidence(recipe=recipe, splits=replace(few, rest=[])))
    assert [finding.fix for finding in nothing_left] == [{}, {}]
    many = replace(few, train=Dataset(rows(800, 1000), LABELS), rest=[])  # all that is not held back trains, and can spare some
    assert fix(evidence(recipe=Recipe().replace({"data.split.validation": 20}), splits=many)) == {"data.split.validation": 200}


def test_a_text_on_both_sides_is_found_under_its_punctuation():
    held = [InputExample("x", {"text": "Row number 7!"}, "good"), *rows(199, 1000)]
    splits = replace(evidence().splits, validation=Dataset(held, LABELS))
    assert codes(evidence(splits=splits)) == ["leak"]
    short = replace(evidence().splits, train=Dataset([*rows(32), InputExample("y", {"text": "ok"}, "good")], LABELS),
                    validation=Dataset([InputExample("x", {"text": "OK!"}, "good"), *rows(199, 1000)], LABELS))
    assert codes(evidence(splits=short)) == []


def test_every_fix_makes_a_recipe_and_every_code_has_its_words():
    for code in check_codes():
        for language in languages():
            assert Words(language).get(f"checks.found.{code}", "")
    stuck = learning(losses=[0.7] * 40, evaluations=[evaluation(0, 0.7, 0.5, [[100, 0], [100, 0]])] * 5)
    found = evidence(seen=stuck, prior={"bad": 0.99, "good": 0.01}, lengths=[300] * 9)
    for finding in findings(found):
        assert found.recipe.replace(finding.fix) != found.recipe, finding.code


def test_a_real_run_and_a_recipe_are_checked_and_a_broken_one_too(tmp_path):
    recipe = make_recipe(tmp_path, training__learning_rate=1e-9, training__epochs=4, prompt__max_length=8)
    service = RunService(tmp_path / "root")
    try:
        run = service.submit(recipe)
        assert service.wait(run, 120).status == "finished"
        found = {finding.code: finding for finding in run_findings(service, run)}
        assert {"rate_small", "truncation", "few_validation_rows"} <= set(found)
        assert found["rate_small"].values == {"rate": "1e-09", "usual": "0.0001"}
        assert found["rate_small"].fix == {"training.learning_rate": "auto"}
        assert "rate_small" not in {finding.code for finding in recipe_findings(service, recipe)}
    finally:
        service.close()
    assert gather(recipe.replace({"data.train": str(tmp_path / "nothing.csv")}), ModelPool()).splits is None


def written(**changes: object) -> Evidence:
    """Rows for a model that writes: all answered, and nothing longer than what the recipe lets through."""
    recipe = Recipe().replace({"task": "generation", "prompt.max_length": 64, "prompt.max_new_tokens": 16})
    contents = ([("what is asked",), ("another thing",)], [("something else",)])
    return Evidence(recipe, written=replace(Written(40, 0, contents, [30] * 40, [8] * 40), **changes), longest=512)


def test_rows_that_can_be_written_from_are_left_in_peace():
    assert codes(written()) == []


def test_rows_without_an_answer_are_told_when_they_are_many():
    assert codes(written(unanswered=2)) == [] and codes(written(unanswered=3)) == ["unanswered"]
    assert findings(written(unanswered=3))[0].values == {"count": "3", "rows": "40"}


def test_conversations_and_answers_that_are_cut_get_room():
    long = written(lengths=[30] * 30 + [99] * 10)
    assert codes(long) == ["conversation_cut"] and fix(long) == {"prompt.max_length": 104}
    wordy = written(answers=[8] * 35 + [40] * 5)
    assert codes(wordy) == ["answer_cut"] and fix(wordy) == {"prompt.max_new_tokens": 40}
    assert fix(replace(long, longest=64)) == {}, "the model has no more positions"


def test_questions_that_stand_in_both_files_are_told():
    assert codes(written(contents=([("What is asked?",)], [("what is  asked",)]))) == ["leak"]


def test_what_is_checked_of_a_run_that_writes_comes_from_its_file_and_its_model(tmp_path):
    lines = [{"instruction": f"say {n}", "output": "great " * (30 if n % 2 else 1)} for n in range(40)]
    lines += [{"instruction": f"and {n}", "output": ""} for n in range(20)]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    recipe = Recipe().replace(
        {
            "task": "generation", "model.path": str(save_qwen(tmp_path / "model")), "data.train": str(file), "data.columns": {},
            "prompt.templates": ["{instruction} [MASK]"], "prompt.max_new_tokens": 8, "prompt.max_length": 40,
        }
    )  # fmt: skip
    found = gather(recipe, ModelPool())
    assert (found.written.asked, found.written.unanswered) == (60, 20) and found.usual_rate > 0 and found.longest
    assert codes(found) == ["unanswered", "conversation_cut", "answer_cut"]
    masked = gather(recipe.replace({"model.path": "embedded:tiny-en"}), ModelPool())
    assert codes(masked) == ["unanswered"], "the run itself says that a masked model does not write"
