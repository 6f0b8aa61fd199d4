"""No cell that goes out is a formula to a spreadsheet, and every text comes back as it was."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from workbench.data.formulas import inert, restored
from workbench.data.labelling import COLUMNS
from workbench.data.readers import read_table

STARTS = "=+-@\t\r"


@given(st.text(alphabet=st.sampled_from("=+-@\t\r'\\\n a1\u597d"), max_size=6) | st.text(max_size=20))
def test_nothing_runs_and_everything_comes_back(text):
    assert not inert(text).startswith(tuple(STARTS)) and restored(inert(text)) == text
    assert inert(text) == text or text.lstrip("'").startswith(tuple(STARTS)), "other texts stay as they are"


def test_only_a_file_of_labels_given_here_is_read_so(tmp_path):
    def written(header, rows):
        out = io.StringIO(newline="")
        csv.writer(out).writerows([header, *rows])
        (tmp_path / "file.csv").write_text(out.getvalue(), encoding="utf-8-sig", newline="")
        return read_table(tmp_path / "file.csv").rows

    assert written(COLUMNS, [("'=1+1", "'-", "0", "", "0.0000")]) == [("=1+1", "-", "0", "", "0.0000")]
    assert written(("text", "label"), [("'=1+1", "'-")]) == [("'=1+1", "'-")], "somebody else's text is not ours to change"
