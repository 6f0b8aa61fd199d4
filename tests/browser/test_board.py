"""The tab Board as a person sees it while boards come and go."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.tiny_runs import make_recipe
from workbench.runs.service import RunService
from workbench.ui.sharing import token_of

JOB = {
    "kind": "board", "shots": [4, "all"], "seeds": 1, "test": 12, "validation": 8, "rows_seen": 16, "least_epochs": 0.1, "most_epochs": 2,
    "evaluations": 1, "paradigms": {"classical": ["naive_bayes"], "prompting": ["bias"]},
}  # fmt: skip


@pytest.mark.slow
def test_a_board_that_starts_while_another_is_in_view_is_followed_to_its_largest_number_of_examples(tmp_path, start, visit):
    recipe = make_recipe(tmp_path / "tiny").replace({"job": JOB})
    service = RunService(tmp_path / "root")
    before = service.submit(recipe)
    assert service.wait(before, 240).status == "finished"
    service.close()
    person = visit(to=start(tmp_path / "root"))
    person.page.evaluate("token => history.replaceState(null, '', `#recipe=${token}`)", token_of(recipe))
    person.reload().tab("board").sees("board-status", before).sees("board-detail", person.t("board.all_rows"))
    person.press("board-start").sees_no("board-status", before)
    expect(person.find("board-status").locator(".pw-status-finished")).to_be_visible()
    person.sees("board-status", re.compile("5 of 5"))
    expect(person.find("board-detail-shots").get_by_label(person.t("board.all_rows"), exact=True)).to_be_checked()
    assert person.page.locator(".toast-body.error").count() == 0
