import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import TemplateError
from workbench.prompts.filters import strip_punct
from workbench.prompts.template import literal, parse_template, with_fields


def kinds(source: str) -> list[str]:
    return [piece.field or piece.kind for piece in parse_template(source).pieces]


def test_a_template_is_a_row_of_pieces_with_its_fields_in_order():
    template = parse_template("{b} ? [MASK] , {a}[SEP]{b|head}")
    assert [p.field or p.kind for p in template.pieces] == ["b", "text", "mask", "text", "a", "special", "b"]
    assert template.fields == ("b", "a")
    assert [p.cut for p in template.pieces if p.field] == ["tail", "tail", "head"]


@pytest.mark.parametrize("cut", ["tail", "head", "middle", "fixed"])
def test_only_a_fixed_field_is_not_shortenable(cut):
    field = parse_template(f"{{text|{cut}}} [MASK]").pieces[0]
    assert (field.cut, field.shortenable) == (cut, cut != "fixed")


def test_doubled_brackets_and_braces_are_literal():
    template = parse_template("[[1]] {{x}} {text} [[[MASK]]]")
    assert "".join(p.text for p in template.pieces if p.field is None) == "[1] {x}  []"
    assert kinds("{text} [[[MASK]]]") == ["text", "text", "mask", "text"]


def test_soft_tokens_parse_in_all_their_forms():
    template = parse_template("[SOFT][SOFT*5][SOFT: it was][SOFT#a][SOFT#a*2: so]{text}[MASK]")
    soft = [(p.soft_name, p.soft_count, p.soft_words) for p in template.pieces if p.kind == "soft"]
    assert soft == [(None, 1, None), (None, 5, None), (None, 1, "it was"), ("a", 1, None), ("a", 2, "so")]


@pytest.mark.parametrize(
    ("source", "position", "part"),
    [
        ("{text} It was", None, "no [MASK]"),
        ("[MASK] {text} [MASK]", 14, "second [MASK] at character 15"),
        ("{text [MASK]", 0, "'{' at character 1 is not closed"),
        ("{text} [MASK", 7, "'[' at character 8 is not closed"),
        ("{text} ] [MASK]", 7, "closes nothing"),
        ("{text} [MSAK]", 7, "Did you mean 'MASK'?"),
        ("{text} [mask]", 7, "Did you mean 'MASK'?"),
        ("{text|haed} [MASK]", 6, "Did you mean 'head'?"),
        ("{text | head| strip_pnct} [MASK]", 14, "Did you mean 'strip_punct'?"),
        ("{text|head|tail} [MASK]", 0, "both"),
        ("{} [MASK]", 0, "has no name"),
        ("It was [MASK].", None, "no column"),
        ("[SOFT*0]{text}[MASK]", 0, "soft tokens"),
        ("[SOFT*" + "9" * 6000 + "]{text}[MASK]", 0, "soft tokens"),
        ("[SOFT:]{text}[MASK]", 0, "soft tokens"),
    ],
)
def test_mistakes_carry_their_position_and_the_nearest_spelling(source, position, part):
    with pytest.raises(TemplateError) as caught:
        parse_template(source)
    assert caught.value.position == position
    assert part in str(caught.value)
    assert caught.value.fix


def test_fill_filters_the_text_and_leaves_the_template_alone():
    template = parse_template("{text|strip_punct|lower_first}, [MASK]!")
    assert [p.text for p in template.fill({"text": "  Very good!!! "})] == ["very good", ", ", "", "!"]
    assert template.pieces[0].text == ""
    assert strip_punct("很好。！") == "很好"
    template = parse_template("{a|drop_last|upper_first} {b|strip_dots} {c|lower} [MASK]")
    assert [p.text for p in template.fill({"a": "good.", "b": "Inc.", "c": "ABC"}) if p.field] == ["Good", "Inc", "abc"]


def test_a_field_the_data_lacks_is_named_with_the_nearest_column():
    with pytest.raises(TemplateError, match="Did you mean 'text'"):
        parse_template("{txt} [MASK]").fill({"text": "x", "title": "y"})


def test_user_text_with_notation_stays_text():
    (field, *_rest) = parse_template("{text} [MASK]").fill({"text": "{text} [MASK] [SEP]"})
    assert field.text == "{text} [MASK] [SEP]"


@settings(max_examples=500, deadline=None)
@given(st.text() | st.text(alphabet="[]{}|*#: MASKSOFTEPtext12", max_size=40))
def test_parsing_anything_raises_only_template_errors(source):
    try:
        template = parse_template(source)
    except TemplateError as error:
        assert error.message
        assert error.position is None or 0 <= error.position < len(source)
    else:
        assert sum(p.kind == "mask" for p in template.pieces) == 1


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_any_text_can_be_written_by_doubling(text):
    assert "".join(p.text for p in parse_template("{x} " + literal(text) + " [MASK]").pieces) == f" {text} "


def test_renaming_a_field_leaves_everything_else_as_it_was_written():
    renamed = with_fields("{ a |head} {{a}} a [SOFT: a] {b}{a} [MASK]", {"a": "text", "b": "a"})
    assert renamed == "{ text |head} {{a}} a [SOFT: a] {a}{text} [MASK]"
    with pytest.raises(TemplateError):
        with_fields("{a} [MASC]", {"a": "b"})
