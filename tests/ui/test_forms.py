"""Forms: what a control shows goes back into the recipe as the method's own options."""

import pytest

from workbench.methods import check_method, method_info, method_names
from workbench.ui import forms
from workbench.ui.text import Words


@pytest.mark.parametrize("name", method_names())
def test_an_untouched_form_gives_the_defaults(name):
    info = method_info(name)
    shown = [forms.shown(field, field.default) for field in info.fields]
    assert check_method(forms.options(info, shown)) == check_method({"name": name})


@pytest.mark.parametrize("name", method_names())
@pytest.mark.parametrize("language", ["en", "zh"])
def test_there_is_a_control_for_every_option(name, language):
    info = method_info(name)
    assert len(forms.controls(info, Words(language))) == len(info.fields)


def test_bounds_come_from_the_options():
    rank = next(field for field in method_info("lora").fields if field.name == "r")
    control = forms.control(rank, "lora", Words("en"))
    assert (control.minimum, control.maximum, control.precision) == (1, 512, 0)


def test_a_list_may_be_separated_by_chinese_commas():
    targets = next(field for field in method_info("lora").fields if field.name == "targets")
    assert forms.given(targets, "query， value") == ["query", "value"]
    assert forms.given(targets, "") is None
