"""Label books on the disk and in a run: kept through a restart, seen by their owner only, trained on, and asked about again."""

import csv
import threading

import pytest

from tests.tiny_runs import make_recipe
from workbench.access import Places, Principal, Role, acting_as
from workbench.data.labelling import next_row, sureness
from workbench.data.readers import read_table
from workbench.errors import AccessError, DataError
from workbench.runs import labelling as module
from workbench.runs.labelling import Labelling, over_labels

GOOD = [f"the {'film ' * n}food lovely" for n in range(4)]
BAD = [f"the {'film ' * n}food awful" for n in range(4)]
ADA, EVE = Principal("ada", Role.USER), Principal("eve", Role.USER)


@pytest.fixture
def recipe(tmp_path):
    return make_recipe(tmp_path / "tiny", training__epochs=12)


def label_all(kept, book, rows=8):
    for row in range(rows):
        book = kept.mark(book.id, row, "neg" if {"awful", "bad"} & set(book.rows[row].split()) else "pos", {})
    return book


def test_labels_are_there_again_after_a_restart(tmp_path):
    kept = Labelling(tmp_path)
    book = kept.begin(["质量很好，会再买。", '他说"还行"\n第二行', "差"], "正面，负面")
    book = kept.mark(book.id, 1, "负面", {1: {"正面": 0.625, "负面": 0.375}})
    book = kept.mark(book.id, 0, None, {})
    again = Labelling(tmp_path)
    assert again.books() == [book] and again.book(book.id) == book
    assert again.undo(book.id).marks == book.marks[:1]
    assert f"{book.rows[1].splitlines()[0].replace(chr(34), chr(34) * 2)}" in again.labels_file(book.id)


def test_saved_labels_hold_no_formula_and_come_back_as_they_were(tmp_path):
    texts = ['=HYPERLINK("http://x", "y")', "+1 for this", "-5 degrees", "@home", "'=quoted", "plain", "'tis so"]
    kept = Labelling(tmp_path)
    book = kept.begin(texts, "=yes, -no")
    for row in range(len(texts)):
        book = kept.mark(book.id, row, ("=yes", "-no")[row % 2], {row: {"=yes": 0.75, "-no": 0.25}})
    assert Labelling(tmp_path).book(book.id) == book
    saved = tmp_path / "labels.csv"
    saved.write_text("\ufeff" + kept.labels_file(book.id), encoding="utf-8", newline="")  # as the page hands it to the browser
    with saved.open(encoding="utf-8-sig", newline="") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    assert len(cells) == 5 * 8 and not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert [row[:2] for row in read_table(saved).rows] == book.labelled
    assert sorted(read_table(kept.recipe(book.id, make_recipe(tmp_path / "tiny")).data.train).rows) == sorted(book.labelled)


def test_books_belong_to_whoever_began_them(tmp_path):
    kept = Labelling(tmp_path)
    with acting_as(ADA):
        book = kept.begin(["one", "two"], "x,y")
    with acting_as(EVE):
        assert kept.books() == []
        for act in (kept.book, kept.undo, kept.remove, kept.labels_file, lambda name: kept.mark(name, 0, "x", {})):
            with pytest.raises(DataError):
                act(book.id)
    assert kept.books() == [book], "the owner of the server sees all"
    with acting_as(ADA):
        kept.remove(book.id)
        assert kept.books() == []


@pytest.mark.parametrize("name", ["../../etc", "", "0" * 16, "ABCDEF0123456789", "x" * 5000])
def test_a_name_that_is_no_book_is_refused(tmp_path, name):
    with pytest.raises(DataError):
        Labelling(tmp_path).book(name)


def test_there_is_a_bound_on_books(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BOOKS_KEPT", 2)
    kept = Labelling(tmp_path)
    for _ in range(2):
        kept.begin(["one", "two"], "x,y")
    with pytest.raises(AccessError):
        kept.begin(["one", "two"], "x,y")


def test_a_damaged_book_is_said_to_be_so(tmp_path):
    kept = Labelling(tmp_path)
    book = kept.begin(["one", "two"], "x,y")
    (tmp_path / "labels" / book.id / "labels.csv").write_text("nothing,of,the,kind\n1,2,3,4\n", encoding="utf-8")
    with pytest.raises(DataError, match="damaged"):
        kept.book(book.id)


def test_the_recipe_trains_on_a_copy_of_the_labels_and_keeps_words_that_still_fit(service, recipe):
    kept = service.labelling
    book = kept.begin(GOOD + BAD, "pos, third")
    assert over_labels(recipe, book, "x").prompt.verbalizer["words"] == {"pos": ["great"], "third": ["third"]}
    with pytest.raises(DataError, match="two classes"):
        kept.recipe(kept.mark(book.id, 0, "pos", {}).id, recipe)
    kept.mark(book.id, 1, "third", {})
    kept.mark(book.id, 2, None, {})
    first = kept.recipe(book.id, recipe)
    table = read_table(first.data.train)
    assert table.columns == ("text", "label") and sorted(table.rows) == sorted([(book.rows[0], "pos"), (book.rows[1], "third")])
    assert read_table(first.data.unlabeled).rows == [(text,) for text in book.rows[3:]]
    assert first.data.split.validation == 0 and first.training.batch_size == 4
    kept.mark(book.id, 3, "pos", {})
    assert kept.recipe(book.id, recipe).data.train != first.data.train
    assert read_table(first.data.train).rows == table.rows, "what a run trains on does not change under it"


def test_a_template_that_needs_other_columns_gives_way(tmp_path, recipe):
    book = Labelling(tmp_path).begin(["one", "two"], "x,y")
    pair = recipe.replace({"data.columns": {"a": "text", "b": "id", "label": "label"}, "prompt.templates": ["{a} {b} [MASK]"]})
    assert over_labels(pair, book, "x").prompt.templates == ["{text} [MASK]"]
    assert over_labels(recipe, book, "x").prompt.templates == recipe.prompt.templates


def test_label_words_of_single_templates_follow_the_labels_too(tmp_path, recipe):
    book = Labelling(tmp_path).begin(["one", "two"], "pos,third")
    pairs = {"prompt.templates": ["{text} [MASK]"] * 2, "prompt.template_words": [None, {"pos": ["nice"], "neg": ["bad"]}]}
    over = over_labels(recipe.replace(pairs), book, "x").prompt
    assert over.template_words == [None, {"pos": ["nice"], "third": ["third"]}]
    other = {**pairs, "data.columns": {"a": "text", "b": "id", "label": "label"}, "prompt.templates": ["{a} {b} [MASK]"] * 2}
    assert over_labels(recipe.replace(other), book, "x").prompt.template_words is None


def test_rows_that_the_recipe_chose_by_a_column_are_not_chosen_among_labels(tmp_path, recipe):
    book = Labelling(tmp_path).begin(["one", "two"], "x,y")
    assert over_labels(recipe.replace({"data.only": {"language": "en"}}), book, "x").data.only == {}


def test_from_the_untuned_prompt_to_a_run_that_is_surer_and_asks_about_what_is_left(service, recipe):
    kept = service.labelling
    unseen = ["the food nice", "the film bad"]
    book = kept.begin(GOOD + BAD + unseen, "pos, neg")
    untuned = kept.opinions(service, book, recipe)
    assert untuned.source == "prompt" and set(untuned.shares) == set(range(10))
    assert all(sum(row.values()) == pytest.approx(1, abs=1e-5) for row in untuned.shares.values())
    # The prompt asks as it would in Try it.
    first = next_row(book, untuned.shares)
    margins = {row: abs(found["pos"] - found["neg"]) for row, found in untuned.shares.items()}
    assert margins[first] == min(margins.values())

    book = label_all(kept, book)
    run = service.submit(kept.recipe(book.id, recipe))
    assert service.wait(run, 120).status == "finished"
    tuned = kept.opinions(service, book, recipe)
    assert (tuned.source, tuned.run, tuned.name) == ("run", run, recipe.name)
    assert tuned.shares[8] == pytest.approx(service.predictor(run).predict([{"text": book.rows[8]}])[0].probabilities)
    assert sureness(book, tuned.shares) > sureness(book, untuned.shares)
    assert next_row(book, tuned.shares) in (8, 9)


def test_a_mark_does_not_wait_for_a_model_that_is_loaded_and_reads_no_other_book(service, recipe, monkeypatch):
    kept, asked, on = service.labelling, threading.Event(), threading.Event()
    book, _ = kept.begin(GOOD + BAD, "pos, neg"), kept.begin(GOOD, "pos, neg")
    looked: list[str] = []
    monkeypatch.setattr(module, "may_see", lambda owner: looked.append(owner) or True)
    real = module.base_predictor
    monkeypatch.setattr(module, "base_predictor", lambda *given: (asked.set(), on.wait(30), real(*given))[-1])
    asking = threading.Thread(target=kept.opinions, args=(service, book, recipe))
    asking.start()
    assert asked.wait(30)
    marked: list[object] = []
    marking = threading.Thread(target=lambda: marked.append(kept.mark(book.id, 0, "pos", {})))
    marking.start()
    marking.join(10)
    on.set()
    asking.join()
    assert marked and looked == ["owner"]
    assert kept.book(book.id).marks[0].label == "pos"


def test_where_no_model_can_be_asked_the_reason_is_given(service, recipe):
    book = service.labelling.begin(GOOD, "pos, neg")
    asked = service.labelling.opinions(service, book, recipe.replace({"model.path": "/nowhere/at/all"}))
    assert asked.source == "none" and asked.shares == {} and asked.problem[0]
    fitted = recipe.replace({"prompt.verbalizer": {"kind": "prototypical", "prototypes": "means"}})
    assert "each class" in service.labelling.opinions(service, book, fitted).problem[0]


def test_a_visitor_trains_on_labels_within_the_demo_s_bounds(tmp_path, service):
    places = Places(data=(service.root / "uploads",), hub=False)
    recipe = make_recipe(tmp_path / "tiny").replace({"model.path": "embedded:tiny-en", "method": {"name": "bias"}})
    with acting_as(Principal("v1", Role.VISITOR, places)):
        book = label_all(service.labelling, service.labelling.begin(GOOD + BAD, "pos, neg"))
        run = service.submit(service.labelling.recipe(book.id, recipe))
        service.stop(run)
        assert [kept.id for kept in service.runs()] == [run]
