"""The verbalizer's panel without a browser: its forms, its words in both languages, what it knows."""

import gradio as gr
import pytest

from tests.ui.served import request_of
from workbench.errors import VerbalizerError
from workbench.prompts.verbalizers import check_verbalizer, verbalizer_info, verbalizer_kinds
from workbench.prompts.verbalizers.verbalizer import Diagnosis
from workbench.recipe import Recipe
from workbench.ui import forms, page
from workbench.ui.tabs.prompt import editor, verbalizer
from workbench.ui.text import Words


@pytest.mark.parametrize("code", ["en", "zh"])
def test_every_kind_and_option_is_said_in_both_languages(code):
    t = Words(code)
    for kind, info in verbalizer.infos().items():
        assert t.get(f"verbalizers.{kind}.title", "") and t.get(f"verbalizers.{kind}.description", "")
        for field in verbalizer.listed(info):
            keys = [f"verbalizers.{owner}.fields.{field.name}" for owner in (kind, "any")]
            assert any(t.get(f"{key}.label", "") and t.get(f"{key}.help", "") for key in keys), (kind, field.name)
            assert not field.choices or any(t.get(f"{key}.choices.{c}", "") for key in keys for c in field.choices)


def test_a_form_gives_back_what_it_shows(tiny):
    for kind in verbalizer_kinds():
        words = {"words": {"pos": ["great"], "neg": ["terrible"]}} if verbalizer.has_words(kind) else {}
        recipe = tiny.replace({"prompt.verbalizer": {"kind": kind, **words, "content_free": [""]}})
        fields = verbalizer.listed(verbalizer_info(kind))
        updates = verbalizer.fill(recipe)
        assert updates[0] == kind
        values = [field.default for field in fields]
        given = verbalizer.with_options(recipe, kind, values)
        assert given == {"kind": kind, **words, "content_free": [""]} and check_verbalizer(given)
    with pytest.raises(VerbalizerError, match="'dropout' is 2"):
        verbalizer.with_options(tiny, "head", [2 if f.name == "dropout" else f.default for f in verbalizer.listed(verbalizer_info("head"))])


def test_another_kind_keeps_the_words_that_fit_the_labels(tiny):
    words = {"pos": ["great"], "other": ["x"]}
    forms = [field.default for info in verbalizer.infos().values() for field in verbalizer.listed(info)]
    assert verbalizer.chosen(tiny, "soft", words, forms) == {"kind": "soft", "words": {"neg": ["neg"], "pos": ["great"]}}
    assert verbalizer.chosen(tiny, "head", words, forms) == {"kind": "head"}


def test_who_comes_back_to_a_kind_finds_what_was_set_in_it(service, tiny):
    set_by_hand = {**tiny.prompt.verbalizer, "calibration": "contextual", "content_free": ["N/A"]}
    recipe = tiny.replace({"prompt.verbalizer": set_by_hand})
    kinds = verbalizer.infos()
    sizes = {kind: len(verbalizer.listed(info)) for kind, info in kinds.items()}
    standing = [field.default for info in kinds.values() for field in verbalizer.listed(info)]
    rows = [["pos", "great"], ["neg", "terrible"]]

    def shown():
        """The forms as the page shows them after the recipe filled them."""
        updates = verbalizer.fill(recipe)[1 + len(kinds) : -1]
        return [before if update == gr.skip() else update for before, update in zip(standing, updates, strict=True)]

    handlers = {fn.api_name: fn.fn for fn in page.build(service, "en").fns.values()}
    for kind in ("soft", "head", "manual"):
        standing = shown()
        draft = handlers["verbalizer_kind"](request_of(), recipe.model_dump(), kind, rows, *standing)[0]
        recipe = Recipe.model_validate(draft)
        assert recipe.prompt.verbalizer["kind"] == kind and recipe.prompt.verbalizer["content_free"] == ["N/A"]
        assert recipe.prompt.verbalizer.get("calibration") == ("contextual" if kind == "manual" else None)
    assert recipe.prompt.verbalizer == set_by_hand
    dropout = sum(sizes[kind] for kind in list(sizes)[: list(sizes).index("head")])
    dropout += [field.name for field in verbalizer.listed(kinds["head"])].index("dropout")
    assert verbalizer.chosen(recipe, "head", {}, [*standing[:dropout], 2, *standing[dropout + 1 :]]) == {
        "kind": "head", "content_free": ["N/A"],
    }  # fmt: skip


def test_the_inputs_that_say_nothing_have_a_box_beside_contextual_calibration(service, tiny):
    contextual = {**tiny.prompt.verbalizer, "calibration": "contextual"}
    for given in (["N/A"], [""], ["N/A, or so", "", "none"]):
        recipe = tiny.replace({"prompt.verbalizer": {**contextual, "content_free": given}})
        box = verbalizer.fill(recipe)[-1]
        assert box["visible"] and verbalizer.with_content_free(tiny, box["value"])["content_free"] == given
    usual = verbalizer.fill(tiny.replace({"prompt.verbalizer": contextual}))[-1]
    assert verbalizer.with_content_free(recipe, usual["value"]) == contextual, "what is as it would be anyway is left out"
    assert not verbalizer.fill(tiny)[-1]["visible"]
    with pytest.raises(VerbalizerError, match="content_free"):
        verbalizer.with_content_free(tiny, "x\n" * 100)
    handlers = {fn.api_name: fn.fn for fn in page.build(service, "en").fns.values()}
    shown = handlers["verbalizer_manual_calibration_inputs"]
    assert [shown(request_of(), value)["visible"] for value in ("none", "contextual", "pmi")] == [False, True, False]
    draft = handlers["verbalizer_content_free"](request_of(), tiny.replace({"prompt.verbalizer": contextual}).model_dump(), "N/A\n")[0]
    assert draft["prompt"]["verbalizer"]["content_free"] == ["N/A", ""]
    assert "verbalizer_manual_calibration_view" in handlers, "the preview follows"


A, B = ({"pos": [word], "neg": ["bad"]} for word in ("nice", "lovely"))


def test_label_words_of_a_template_stay_with_it_while_boxes_are_edited(tiny):
    recipe = tiny.replace({"prompt.templates": ["{text} [MASK]"] * 2 + ["{text} : [MASK]"], "prompt.template_words": [None, A, B]})
    *filled, rest = editor.fill(recipe, Words("en"))[: editor.MOST_TEMPLATES + 1]
    same, last = recipe.prompt.templates[1:]
    steps = [
        ({1: "{text} it [MASK]"}, [same, "{text} it [MASK]", last], [None, A, B]),
        ({0: ""}, ["{text} it [MASK]", last], [A, B]),
        ({2: last + " ."}, ["{text} it [MASK]", last + " ."], [A, B]),
        ({1: " "}, [last + " ."], [B]),
        ({1: same}, [same, last + " ."], [A, B]),  # written anew in the same box
        ({0: same, 3: "[MASK] {text}"}, [same, same, last + " .", "[MASK] {text}"], [None, A, B, None]),
        ({1: "", 2: ""}, [same, "[MASK] {text}"], None),
        ({0: "", 3: ""}, [""], None),
    ]
    boxes = [box["value"] for box in filled]
    for typed, templates, words in steps:
        boxes = [typed.get(place, value) for place, value in enumerate(boxes)]
        recipe = recipe.replace(editor.set_templates(recipe, *boxes, rest))
        assert (recipe.prompt.templates, recipe.prompt.template_words) == (templates, words)


def test_label_words_of_templates_stay_while_the_table_is_edited_and_beyond_the_boxes(tiny):
    many = [f"{number} {{text}} [MASK]" for number in range(editor.MOST_TEMPLATES + 2)]
    recipe = tiny.replace({"prompt.templates": many, "prompt.template_words": [*[None] * (len(many) - 1), A]})
    *_, rest = editor.fill(recipe, Words("en"))[: editor.MOST_TEMPLATES + 1]
    changed = recipe.replace(editor.set_templates(recipe, many[0], "", *many[2 : editor.MOST_TEMPLATES], rest))
    assert changed.prompt.templates == [many[0], *many[2:]] and changed.prompt.template_words == [*[None] * (len(many) - 2), A]
    table = recipe.replace(editor.set_words(recipe, [["pos", "great, good"], ["neg", "awful"]]))
    assert table.prompt.template_words[-1] == A and table.prompt.verbalizer["words"]["pos"] == ["great", "good"]


def test_the_table_of_single_templates_gives_back_what_it_shows_and_reads_what_is_written(tiny):
    many = [f"{number} {{text}} [MASK]" for number in range(editor.MOST_TEMPLATES + 2)]
    weighted = {"pos": {"nice": 1.0, "fine": 0.5}, "neg": ["bad"]}
    recipe = tiny.replace({"prompt.templates": many, "prompt.template_words": [None, weighted, *[None] * 5, B]})
    *filled, rest = editor.fill(recipe, Words("en"))[: editor.MOST_TEMPLATES + 1]
    boxes = [box["value"] for box in filled]
    rows = editor.own_words_rows(recipe, rest, editor.MOST_TEMPLATES)
    own = [["2", "pos", "nice, fine*0.5"], ["2", "neg", "bad"], ["8", "pos", "lovely"], ["8", "neg", "bad"]]
    assert [row for row in rows if row[2]] == own
    assert len(rows) == 2 * len(many)
    assigned, same = editor.set_own_words(recipe, rows, *boxes, rest)
    assert recipe.replace(assigned) == recipe and same == rest
    written = {("1", "neg"): "awful", ("2", "pos"): "", ("2", "neg"): " "}
    rows = [[number, label, written.get((number, label), text)] for number, label, text in rows] + [["", "", "a row too many"]]
    assigned, kept = editor.set_own_words(recipe, rows, *boxes, rest)
    first = {"pos": recipe.prompt.verbalizer["words"]["pos"], "neg": ["awful"]}
    assert assigned["prompt.template_words"] == [first, *[None] * 6, B], "what is not written is as in the other table"
    assert editor.set_templates(recipe, *boxes, kept) == assigned, "typing in a box goes on with these words"


@pytest.mark.parametrize("code", ["en", "zh"])
def test_words_of_single_templates_are_in_sight_once_a_template_has_some_and_written_in_the_page(tiny, pages, code):
    recipe = tiny.replace({"prompt.templates": ["{text} [MASK]", "{text} was [MASK]"], "prompt.template_words": [None, A]})
    blocks = pages(code)
    handlers = {fn.api_name: fn.fn for fn in blocks.fns.values()}
    (own,) = (block for block in blocks.blocks.values() if getattr(block, "elem_id", None) == "own-words")
    assert own.elem_classes == [forms.SELDOM], "behind all fields"
    for shown, classes in ((tiny, [forms.SELDOM]), (recipe, [])):
        updates = [update for update in editor.fill(shown, Words(code)) if isinstance(update, dict)]
        assert [update["elem_classes"] for update in updates if "elem_classes" in update] == [classes]
    *filled, rest = editor.fill(tiny, Words(code))[: editor.MOST_TEMPLATES + 1]
    boxes = [box["value"] for box in filled]
    *_, rows = handlers["prompt_add_template"](request_of(), tiny.model_dump(), rest)
    assert [row[:2] for row in rows] == [[number, label] for number in "12" for label in ("pos", "neg")] and not any(row[2] for row in rows)
    rows[2][2], rows[3][2] = "nice", "bad"
    draft, *_, rest = handlers["prompt_own_words"](request_of(), tiny.model_dump(), rows, *boxes, rest)
    assert draft["prompt"].get("template_words") is None and rest.words[1] == A, "the second box is empty yet"
    draft = handlers["prompt_template_2"](request_of(), draft, boxes[0], "{text} was [MASK]", *boxes[2:], rest)[0]
    assert draft["prompt"]["template_words"] == [None, A]
    standing = [forms.shown(field, field.default) for info in verbalizer.infos().values() for field in verbalizer.listed(info)]
    for kind, own in (("soft", [None, A]), ("head", None)):
        draft = handlers["verbalizer_kind"](request_of(), recipe.model_dump(), kind, [["pos", "great"]], *standing)[0]
        recipe = Recipe.model_validate(draft)
        assert recipe.prompt.template_words == own, "a kind without words has none of single templates either"


def test_what_is_known_is_shown(tiny, service):
    t = Words("en")
    manual = verbalizer.view(service, tiny)
    assert set(manual.prior) == {"neg", "pos"} and sum(manual.prior.values()) == pytest.approx(1)
    assert "pw-bar" in verbalizer.view_html(manual, t)
    found = verbalizer.view(service, tiny.replace({"prompt.verbalizer": {"kind": "automatic", "words_per_label": 2}}))
    assert all(words for words in found.found.values()) and "pw-chip" in verbalizer.view_html(found, t)
    head = verbalizer.view(service, tiny.replace({"prompt.verbalizer": {"kind": "head"}}))
    assert head.prior is None and "chance" in verbalizer.view_html(head, t)
    for code in ("en", "zh"):
        skewed = verbalizer.VerbalizerView([Diagnosis("skew", "", {"label": "<b>", "share": "99%"})], {"a": 0.99, "b": 0.01}, None)
        html = verbalizer.view_html(skewed, Words(code))
        assert "99%" in html and "&lt;b&gt;" in html and "<b>" not in html
