"""What README.md says in its comparison with other tools: each of our claims names the tests that would fail if it were not so.

Read from the source, so that a claim counts only with a test that stands there; the other columns have none.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
HEADING = "## How it differs"
PROOFS = {
    "masked models (BERT, RoBERTa ...)": (
        "tests/methods/test_methods.py::test_gradients_reach_saved_weights_come_back_and_detaching_restores_every_byte",
        "tests/models/test_any_folder.py::test_it_trains_and_answers_by_a_path_beside_the_recipe",
    ),
    "templates and verbalizers with a live preview": (
        "tests/browser/test_prompt_lab.py::test_typing_is_followed_by_tokens_and_score",
        "tests/serving/test_preview.py::test_one_pass_says_what_the_classifier_says",
    ),
    "prompt, prefix and P-tuning, adapters, LoRA in one place": (
        "tests/bench/test_method_matrix.py::test_representative_cells",
        "tests/training/test_trainer.py::test_every_method_learns_at_its_own_rate",
    ),
    "Baichuan-7B without remote code": (
        "tests/models/test_baichuan.py::test_logits_are_those_of_the_papers",
        "tests/models/test_baichuan.py::test_from_checkpoint_to_answers_on_the_command_line",
        "tests/test_calls.py::test_every_call_in_the_repository_is_made_as_it_has_to_be",
    ),
    "trains offline out of the box": ("tests/browser/test_whole_job.py::test_from_an_empty_folder_to_an_answer",),
    "four paradigms on the same rows and seeds": (
        "tests/runs/test_boards.py::test_a_board_has_a_line_for_every_method_and_number_of_examples",
        "tests/paradigms/test_split.py::test_the_test_rows_follow_from_the_recipes_seed_alone",
    ),
    "labels rows in the page": ("tests/browser/test_labelling.py::test_from_pasted_lines_to_a_trained_model_and_what_it_is_unsure_of",),
    "the mask survives any text length": (
        "tests/prompts/test_masks.py::test_every_encoding_has_the_masks_or_the_template_is_refused",
        "tests/prompts/test_encoding.py::test_the_masks_survive_every_length_and_user_text_stays_text",
    ),
    "resume after a kill": (
        "tests/faults/test_kill_while_training.py::test_killed_said_to_be_interrupted_and_resumed_to_the_same_losses_and_bytes",
        "tests/training/test_trainer.py::test_killed_and_resumed_ends_as_if_it_never_had",
    ),
    "page in English and Chinese": (
        "tests/ui/test_page.py::test_the_page_answers_in_both_languages",
        "tests/ui/test_text.py::test_languages_hold_the_same_keys",
        "tests/ui/test_sentences.py::test_every_sentence_of_the_engine_is_translated",
    ),
    "fields in sight when the page opens": (
        "tests/browser/test_opening.py::test_a_first_visit_shows_a_preset_that_could_be_trained_at_once",
    ),
    "other machines that the page asks when it opens": (
        "tests/browser/test_opening.py::test_a_first_visit_shows_a_preset_that_could_be_trained_at_once",
        "tests/browser/test_whole_job.py::test_from_an_empty_folder_to_an_answer",
    ),
}


def claims(readme: str) -> dict[str, str]:
    """Row of the comparison -> what it says of us."""
    lines = readme.partition(HEADING)[2].partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {row[0]: row[1] for row in rows[2:]}


def missing(proof: str) -> str:
    """Why a named test proves nothing; empty when it stands there and nothing skips it."""
    place, _, name = proof.partition("::")
    file = PROJECT / place
    if not file.is_file():
        return f"{place} is not there"
    functions = [node for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)]
    found = next((node for node in functions if node.name == name), None)
    if found is None:
        return f"{place} has no {name}"
    marks = " ".join(ast.unparse(mark) for mark in found.decorator_list)
    return f"{proof} may be skipped" if "skip" in marks or "xfail" in marks else ""


def test_every_claim_of_the_comparison_has_its_tests():
    said = claims((PROJECT / "README.md").read_text(encoding="utf-8"))
    assert len(said) > 5
    assert set(said) == set(PROOFS), "a row without its proof, or a proof without its row"
    assert all(text not in ("", "no", "-") and PROOFS[row] for row, text in said.items())


@pytest.mark.parametrize("proof", [proof for proofs in PROOFS.values() for proof in proofs])
def test_the_named_tests_stand_there(proof):
    assert missing(proof) == ""


@pytest.mark.parametrize(("proof", "why"), [
    ("tests/test_nothing.py::test_x", "is not there"), ("tests/test_claims.py::test_x", "has no test_x"),
])  # fmt: skip
def test_a_proof_that_is_none_is_named(proof, why):
    assert why in missing(proof)


def test_a_new_row_is_a_claim():
    readme = f"# X\n\n{HEADING}\n\n| | we | they |\n|---|---|---|\n| flies | yes | no |\n\n## Next\n\n| not | a | claim |\n"
    assert claims(readme) == {"flies": "yes"}
