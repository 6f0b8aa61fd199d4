"""Event logs in memory: the newest few, and of a run that has ended only its end."""

from __future__ import annotations

import json

from tests.tiny_runs import make_recipe
from workbench.runs import view
from workbench.runs.view import EventReader, last_events


def write(file, steps: int, text: str = "") -> None:
    lines = [{"seq": 0, "kind": "plan", "total_steps": steps}]
    lines += [{"seq": step, "kind": "train", "step": step, "loss": 0.5, "text": text} for step in range(1, steps + 1)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def test_only_the_newest_logs_stay_in_memory_and_the_others_are_read_again(tmp_path):
    reader = EventReader()
    files = [tmp_path / f"{number}.jsonl" for number in range(view.LOGS_KEPT + 5)]
    for number, file in enumerate(files):
        write(file, number + 1)
        reader.read(files[0])  # in view all the while
        assert reader.read(file).last("train")["step"] == number + 1
    assert len(reader._logs) == view.LOGS_KEPT and files[0] in reader._logs and files[1] not in reader._logs
    assert [event["step"] for event in reader.read(files[3]).of("train")] == [1, 2, 3, 4]


def test_the_end_of_a_long_log_is_enough_to_know_how_far_it_came(tmp_path):
    write(tmp_path / "log", 3000, "x" * 1000)
    log = last_events(tmp_path / "log")
    assert log.last("train")["step"] == 3000 and 0 < len(log.all) < 1000 and log.last("plan") == {}
    assert last_events(tmp_path / "absent").all == []


def test_a_run_that_nobody_looks_at_leaves_nothing_in_memory(service, tmp_path, monkeypatch):
    monkeypatch.setattr(view, "END_BYTES", 4000)  # the plan, which says how many steps there are, is not in it
    run_id = service.submit(make_recipe(tmp_path, training__epochs=8))
    done = service.wait(run_id, 60)
    assert done.status == "finished" and service._events._logs == {}
    assert last_events(service.store.folder(run_id) / "events.jsonl").last("plan") == {}
    log = service.read(run_id).log
    assert (done.step, done.total_steps) == (log.last("train")["step"], log.last("plan")["total_steps"])
