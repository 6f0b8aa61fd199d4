"""Six people on one server beside a run: a small look at what 50 do in the long command."""

from tests.faults.crowd import crowd


def test_nothing_is_lost_and_nothing_is_seen_across_users(tmp_path):
    figures = crowd(tmp_path, clients=6, actions=8)
    assert figures["first_lost"] == [] and figures["lost"] == 0
    assert figures["seen_across_users"] == 0 and figures["runs_there"] == 6
    assert figures["actions"] >= 6 * 7 and figures["trained_meanwhile"]
