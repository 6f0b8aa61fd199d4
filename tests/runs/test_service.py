import threading
import time

import pytest

from tests.tiny_runs import make_recipe
from workbench.errors import DataError, MethodError, RunError, TemplateError
from workbench.runs import service as service_module
from workbench.runs.service import RunService


def _until(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_a_run_trains_and_answers(service, tmp_path):
    run_id = service.submit(make_recipe(tmp_path))
    assert service.wait(run_id, 60).status == "finished"
    view = service.read(run_id)
    assert view.step == view.total_steps > 0 and 0 <= view.metrics["accuracy"] <= 1
    assert service.read(run_id, view.next).events == []
    assert service.result(run_id)["status"] == "finished"
    rows = [{"text": "the food lovely"}, {"text": "the food awful"}]
    tuned, base = service.predictor(run_id).predict(rows), service.predictor(run_id, base=True).predict(rows)
    for answer in (*tuned, *base):
        assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-6) and set(answer.label_words) == {"great", "terrible"}
    assert tuned != base


def test_a_run_that_ends_while_its_model_is_loaded_answers_with_what_it_left(service, tmp_path, monkeypatch):
    run_id = service.submit(make_recipe(tmp_path, method__name="bias"))
    service.wait(run_id, 60)
    folder, fresh = service.store.folder(run_id), service.pool.fresh
    (folder / "final").rename(folder / "best")

    def ends(part):
        if (folder / "best").exists():
            (folder / "best").rename(folder / "final")
        return fresh(part)

    monkeypatch.setattr(service.pool, "fresh", ends)
    assert service.predictor(run_id).predict([{"text": "the food lovely"}])[0].label in ("pos", "neg")


def test_nothing_is_remembered_of_a_run_that_was_deleted(service, tmp_path):
    run_id = service.submit(make_recipe(tmp_path))
    service.wait(run_id, 60)
    folder = service.store.folder(run_id)
    service.boards._kept.get((folder, "cell"), object)
    assert service.result(run_id) and service.read(run_id).recipe.name == "tiny"
    service.delete(run_id)
    assert run_id not in service._outcomes and service.store._recipes == {} and not service.boards._kept.clear()


def test_the_index_of_a_fresh_process_knows_the_outcome(service, tmp_path):
    run_id = service.submit(make_recipe(tmp_path))
    service.wait(run_id, 60)
    seen = RunService(service.root, writable=False)
    assert seen.runs() == service.runs() and seen.read(run_id) == service.read(run_id)


def test_twenty_starts_under_one_key_are_one_run(service, tmp_path):
    recipe, ids = make_recipe(tmp_path), []
    threads = [threading.Thread(target=lambda: ids.append(service.submit(recipe, key="click"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 20 and len(set(ids)) == 1 and len(service.runs()) == 1


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"method__name": "nothing"}, MethodError),
        ({"prompt__templates": ["{text} no mask"]}, TemplateError),
        ({"data__train": "absent.csv"}, DataError),
        ({"data__columns": {"text": "missing", "label": "label"}}, DataError),
    ],
)
def test_a_mistake_makes_no_run(service, tmp_path, change, error):
    with pytest.raises(error):
        service.submit(make_recipe(tmp_path, **change))
    assert service.runs() == []


def test_pause_stop_resume_and_delete(service, tmp_path):
    run_id = service.submit(make_recipe(tmp_path, training__epochs=2000))
    _until(lambda: service.read(run_id).step > 0)
    service.pause(run_id)
    assert service.read(run_id).status == "paused"
    _until(lambda: any(event.get("status") == "paused" for event in service.read(run_id).events))
    step = service.read(run_id).step
    time.sleep(0.3)
    assert service.read(run_id).step == step
    with pytest.raises(RunError):
        service.delete(run_id)
    service.resume(run_id)
    _until(lambda: service.read(run_id).step > step)
    for _ in range(10):
        service.stop(run_id)
    assert service.wait(run_id, 120).status == "stopped"
    stopped_at = service.read(run_id).step
    service.resume(run_id)
    _until(lambda: service.read(run_id).step > stopped_at)
    service.stop(run_id)
    assert service.wait(run_id, 120).status == "stopped"
    service.delete(run_id)
    assert service.runs() == [] and not service.store.folder(run_id).exists()


def test_waiting_runs_go_in_order_and_can_leave_the_queue(service, tmp_path):
    first = service.submit(make_recipe(tmp_path, training__epochs=2000))
    second, third = (service.submit(make_recipe(tmp_path, name=name, training__epochs=0.5)) for name in "23")
    _until(lambda: service.read(first).status == "running")
    service.stop(second)
    assert service.read(second).status == "stopped" and service.read(third).status == "queued"
    service.stop(first)
    assert service.wait(third, 60).status == "finished" and service.read(second).status == "stopped"


def test_closing_interrupts_and_a_new_service_goes_on(tmp_path, held_at):
    held_at(3)
    service = RunService(tmp_path / "root")
    run_id = service.submit(make_recipe(tmp_path))
    _until(lambda: service.read(run_id).step == 3)
    service.close()
    service = RunService(tmp_path / "root")
    assert service.read(run_id).status == "interrupted"
    service.resume(run_id)
    assert service.wait(run_id, 60).status == "finished"
    steps = service.read(run_id).step
    service.resume(run_id)
    assert service.read(run_id).status == "finished" and service.read(run_id).step == steps
    service.close()


def test_a_bug_gets_an_id_and_the_queue_goes_on(service, tmp_path, monkeypatch):
    import workbench.training.trainer as trainer

    real = trainer.train_run

    def broken(*arguments, **options):
        monkeypatch.setattr(trainer, "train_run", real)
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(trainer, "train_run", broken)
    first, second = service.submit(make_recipe(tmp_path)), service.submit(make_recipe(tmp_path))
    assert service.wait(first, 120).status == "failed"
    error = service.read(first).error
    assert "secret" not in error["message"] and error["error_id"] in (service.root / "workbench.log").read_text()
    assert service.wait(second, 60).status == "finished"


def test_a_reading_service_changes_nothing(service, tmp_path):
    reader = RunService(service.root, writable=False)
    with pytest.raises(RunError):
        reader.submit(make_recipe(tmp_path))


def test_importing_the_service_imports_no_torch():
    import subprocess
    import sys

    code = f"import sys, {service_module.__name__}, workbench.cli; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
