"""Tuning methods: one file each, registered by a decorator, attached to a loaded model and detached exactly.

    registry.py   names, options, information for forms
    attached.py   what every attached method can do
    manifest.py   method.json beside saved weights: whose they are
    learnt.py     what a method learnt, as a table for a person
    soft.py deep.py   the mechanisms of soft tokens and of deep prompts
    full.py head.py bias.py lora.py ...   the methods; a new file with `@register` is all a new method needs
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from workbench.methods.attached import Attached, TunedRow
from workbench.methods.registry import (
    MethodInfo,
    OptionField,
    Options,
    check_method,
    check_soft_tokens,
    method_class,
    method_info,
    method_names,
    register,
)
from workbench.prompts.verbalizers.verbalizer import Reads

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel
    from workbench.recipe import PromptPart

for _module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_module}")

__all__ = [
    "Attached",
    "MethodInfo",
    "OptionField",
    "Options",
    "TunedRow",
    "attach",
    "check_method",
    "check_soft_tokens",
    "method_class",
    "method_info",
    "method_names",
    "register",
]


def attach(
    loaded: LoadedModel, options: Any, *, keep_original: bool = True, prompt: PromptPart | None = None, reads: Reads = "words"
) -> Attached:
    """Attaches a method to a model.

    Args:
        options: validated options from `check_method`, or the plain mapping of a recipe.
        keep_original, prompt, reads: see `Attached`.

    Raises:
        MethodError: the options are wrong, the model carries a method already, or the method does not apply to it.
    """
    checked = check_method(options) if isinstance(options, dict) else options
    return method_class(checked.name)(loaded, checked, keep_original=keep_original, prompt=prompt, reads=reads)
