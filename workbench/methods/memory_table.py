"""Memory that training a model takes, for every method on every kind of weights."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.errors import WorkbenchError
from workbench.methods.footprint import estimate
from workbench.methods.registry import method_names
from workbench.models.known import KnownModel
from workbench.models.loading import find_device
from workbench.models.memory import free_bytes
from workbench.models.quantization import QUANTIZATIONS
from workbench.recipe import Recipe

ALIKE = {"fp4": "nf4"}  # two alphabets of the same four bits


@dataclass(frozen=True)
class MethodMemory:
    """What one method takes at its peak.

    Attributes:
        needed: quantization -> bytes; None where the method cannot train such weights.
        cache_bytes: keys and values of the answers that an evaluation writes at once; 0 where nothing is written.
        free_bytes: what the device has to give now.
    """

    method: str
    needed: dict[str, int | None]
    cache_bytes: int
    free_bytes: int

    @property
    def fits(self) -> list[str]:
        """Quantizations with which it fits this machine."""
        return [name for name, needed in self.needed.items() if needed is not None and needed <= self.free_bytes]


def memory_table(recipe: Recipe, known: KnownModel) -> list[MethodMemory]:
    """One row per method, at a recipe's batch, length and task; methods other than the recipe's own at their defaults."""
    free = free_bytes(find_device(recipe.model.device))
    return [MethodMemory(name, *_row(_with_method(recipe, name), known), free) for name in method_names()]


def _with_method(recipe: Recipe, name: str) -> Recipe:
    return recipe if recipe.method.get("name") == name else recipe.replace({"method": {"name": name}})


def _row(recipe: Recipe, known: KnownModel) -> tuple[dict[str, int | None], int]:
    row: dict[str, int | None] = {}
    cache = 0
    for bits in QUANTIZATIONS:
        if bits in ALIKE:
            row[bits] = row[ALIKE[bits]]
            continue
        try:
            taken, _ = estimate(recipe.replace({"model.quantization": bits}), known)
        except WorkbenchError:
            row[bits] = None
            continue
        row[bits], cache = taken.total, max(cache, taken.cache)
    return row, cache
