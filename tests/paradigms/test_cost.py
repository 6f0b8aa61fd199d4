"""What a cell is said to cost is what it cost: whatever ran before it, however often it was paused or cut off."""

import threading
import time

import numpy as np
import pytest

from tests.tiny_runs import make_recipe
from workbench.models.pool import ModelPool
from workbench.paradigms.cost import PackageEnergy, cost_of, forget_cost
from workbench.paradigms.tuned import warm_recipe
from workbench.training.control import Control

MEGABYTE = 2**20


def package(root, number, used, size):
    folder = root / f"intel-rapl:{number}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "energy_uj").write_text(f"{used}\n")
    (folder / "max_energy_range_uj").write_text(f"{size}\n")


def test_a_counter_that_starts_anew_between_two_looks_gives_no_negative_energy(tmp_path):
    package(tmp_path, 0, 9_000_000, 10_000_000)
    package(tmp_path, 1, 1_000_000, 10_000_000)
    (tmp_path / "intel-rapl:0:0").mkdir()  # a part of package 0, counted there already
    energy = PackageEnergy(tmp_path)
    package(tmp_path, 0, 2_000_000, 10_000_000)
    package(tmp_path, 1, 1_500_000, 10_000_000)
    energy.look()
    assert energy.joules == pytest.approx(3.0 + 0.5)
    package(tmp_path, 0, 2_500_000, 10_000_000)
    energy.look()
    assert energy.joules == pytest.approx(4.0)


def test_a_machine_that_does_not_tell_its_energy_has_none(tmp_path):
    package(tmp_path, 0, 1, 10)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    for root in (tmp_path, tmp_path / "nowhere"):
        energy = PackageEnergy(root)
        energy.look()
        assert energy.joules is None


def test_a_pause_costs_nothing(tmp_path):
    control = Control()
    control.request_pause()
    threading.Timer(1.2, control.request_resume).start()
    started = time.perf_counter()
    with cost_of(tmp_path, control) as cost:
        control.wait_while_paused()
    assert time.perf_counter() - started > 1.1 and cost.seconds < 0.6


def test_what_an_earlier_life_of_a_cell_cost_is_counted_until_it_is_forgotten(tmp_path):
    with pytest.raises(KeyboardInterrupt), cost_of(tmp_path, Control()) as first:
        np.ones(30 * MEGABYTE).sum()
        time.sleep(0.4)
        raise KeyboardInterrupt
    with cost_of(tmp_path, Control()) as second:
        time.sleep(0.1)
    assert second.seconds >= first.seconds + 0.1 and second.peak_memory_bytes >= first.peak_memory_bytes > 200 * MEGABYTE
    assert second.cpu_seconds >= first.cpu_seconds > 0
    forget_cost(tmp_path)
    with cost_of(tmp_path, Control()) as third:
        pass
    assert third.seconds < first.seconds


def test_memory_is_what_a_cell_adds_whatever_the_program_holds_and_held_before(tmp_path):
    def cost(name):
        (tmp_path / name).mkdir()
        with cost_of(tmp_path / name, Control()) as found:
            block = np.ones(8 * MEGABYTE)  # 64 MiB
            time.sleep(0.2)
            del block
        return found.peak_memory_bytes

    alone = cost("alone")
    held = np.ones(32 * MEGABYTE)
    beside = cost("beside")
    del held
    assert all(60 * MEGABYTE < found < 100 * MEGABYTE for found in (alone, beside, cost("afterwards")))


def test_a_models_method_is_set_up_once_before_the_clock_and_nothing_of_it_stays(tmp_path):
    recipe, pool, loads = make_recipe(tmp_path, method={"name": "lora"}), ModelPool(), []
    fresh = pool.fresh
    pool.fresh = lambda *given: loads.append(given) or fresh(*given)
    for _ in range(3):
        warm_recipe(recipe, ("neg", "pos"), pool)
    assert len(loads) == 1 and not pool.clear()
