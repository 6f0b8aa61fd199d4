"""Paths in every parameter of every endpoint, over HTTP, as the owner and as a visitor: a look at what the long command does in full."""

from __future__ import annotations

from tests.ui.guard.paths_client import attack_files, besiege, siege


def test_no_path_leads_out_of_the_data_root(tmp_path):
    figures = besiege(tmp_path, per_parameter=1)
    assert figures["first_wrong"] == [] and figures["opened"] == []
    assert figures["changed"] == [] and figures["made"] == []
    assert figures["opens"] is True and figures["waits"] in ("queued", "stopped") and figures["takes"] == "queued"
    assert figures["tried"] > 700 and figures["bugs"] == 0


def test_a_file_that_a_client_names_is_taken_from_its_uploads_only(tmp_path):
    """Every input that takes a file, each with every path to a file elsewhere: gradio reads none and offers no copy."""
    with siege(tmp_path) as held:
        attack_files(held.ground)
        assert held.ground.wrong == [] and held.opened.files == [] and held.ground.tried > 50
