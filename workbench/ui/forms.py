"""A form from the option fields of a method: one control per field, chosen by its kind, bounds and choices."""

from __future__ import annotations

from typing import Any

import gradio as gr

from workbench.methods import MethodInfo, OptionField
from workbench.ui.text import Words

OFTEN = 2
SELDOM = "pw-more"


def number(*value: float | None, **options: Any) -> gr.Number:
    """A number whose bounds the browser shows and the recipe holds to. gradio refuses a value in English, and with it every handler that
    reads the control, be it to switch something off."""
    made = gr.Number(*value, **options)
    # Not by a subclass: gradio writes an interface file beside the source of each.
    made.raise_if_out_of_bounds = lambda *bounds: None  # type: ignore[method-assign]
    return made


def controls(method: MethodInfo, t: Words) -> list[gr.components.Component]:
    """One control per option of a method, in the order the options are declared; those after the first few are not seen by everybody."""
    return [control(field, method.name, t, seldom=place >= OFTEN) for place, field in enumerate(method.fields)]


def explained(help_: str, higher: str, safe: Any, t: Words) -> str:
    """What a field is, what more or less of it does, and the value that is safe; of a choice the words that stand there for it."""
    if safe is None or isinstance(safe, bool):
        value = t("forms.empty" if safe is None else "forms.switched_on" if safe else "forms.switched_off")
    else:
        value = f"{safe:g}" if isinstance(safe, float) else str(safe)
    return t.line(help_, higher, t("forms.safe", value=value))


def control(
    field: OptionField, owner: str, t: Words, group: str = "methods", *, seldom: bool = False, elem_id: str | None = None
) -> gr.components.Component:
    """The control for a field of a method, or of another group's `owner`, its label and help in the page's language where they are
    written there: for this owner, or for any. What is `seldom` needed is seen once all fields are asked for."""
    key = f"{group}.{owner}.fields.{field.name}"
    if not t.get(f"{key}.label", ""):
        key = f"{group}.any.fields.{field.name}"
    label = t.get(f"{key}.label", field.name.replace("_", " "))
    info = t.get(f"{key}.help", field.description) or None
    if field.kind in ("int", "float", "choice", "bool"):
        named = t.get(f"{key}.choices.{field.default}", str(field.default)) if field.kind == "choice" else field.default
        # Where the published default is not the best start, the words say which one is.
        info = explained(info or "", t.get(f"{key}.higher", ""), t.get(f"{key}.safe", "") or named, t)
    value = shown(field, field.default)
    given: dict[str, Any] = {"label": label, "info": info, "value": value, "elem_id": elem_id}
    if seldom:
        given["elem_classes"] = SELDOM
    if field.kind == "choice":
        choices = [(t.get(f"{key}.choices.{choice}", choice), choice) for choice in field.choices]
        return gr.Dropdown(choices, **given)
    if field.kind == "bool":
        return gr.Checkbox(**given)
    if field.kind in ("int", "float"):
        whole = field.kind == "int"
        return number(
            **given,
            minimum=field.minimum,
            maximum=field.maximum,
            step=1 if whole else 0.01,
            precision=0 if whole else None,
        )
    return gr.Textbox(**given)


def shown(field: OptionField, value: Any) -> Any:
    """An option's value as its control takes it."""
    if field.kind == "bool":
        return bool(value)
    if field.kind in ("list", "str"):
        return ", ".join(str(part) for part in value) if isinstance(value, (list, tuple)) else str(value or "")
    return value


def given(field: OptionField, value: Any) -> Any:
    """A control's value as the option takes it; an empty control means the default."""
    if field.kind == "list":
        parts = [part.strip() for part in str(value or "").replace("\uff0c", ",").split(",") if part.strip()]
        return parts or field.default
    if value is None or value == "":
        return field.default
    return int(value) if field.kind == "int" else value


def options(method: MethodInfo, values: list[Any]) -> dict[str, Any]:
    """A recipe's `method` part from the controls' values, in the order of `controls`."""
    return {"name": method.name, **{field.name: given(field, value) for field, value in zip(method.fields, values, strict=True)}}
