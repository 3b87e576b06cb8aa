"""Test files of GLUE: columns, order, number of rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kdrun.data.sources.glue_test_files import GlueTestFile, find_test_file, read_test_file
from kdrun.deployment.glue_submission import SHEETS
from kdrun.errors import DataError

PAIRS = GlueTestFile(("RTE/test.tsv", "rte/test.tsv"), ("sentence1", "sentence2"), ("rte", "test"), (), 2)


def write(folder: Path, text: str) -> Path:
    path = folder / "RTE" / "test.tsv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode())
    return path


def test_rows_are_read_in_order_without_quoting(tmp_path: Path) -> None:
    path = write(tmp_path, '\ufeffindex\tsentence1\tsentence2\textra\r\n0\t"a\t b \tx\r\n1\tc\td"\ty\r\n')
    assert find_test_file(tmp_path, PAIRS) == path
    assert read_test_file(path, PAIRS) == [('"a', "b"), ("c", 'd"')]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "RTE/test.tsv is empty"),
        ("index\tsentence1\n0\ta\n1\tb\n", "'sentence2'.*did you mean 'sentence1'"),
        ("index\tsentence1\tsentence2\n0\ta\tb\n", "has 1 rows and GLUE's test set 2"),
        ("index\tsentence1\tsentence2\n0\ta\tb\n1\tc\td\n2\te\tf\n", "has 3 rows and GLUE's test set 2"),
        ("index\tsentence1\tsentence2\n0\ta\tb\n1\tc\n", "line 3: 2 columns, expected 3"),
        ("index\tsentence1\tsentence2\n1\ta\tb\n0\tc\td\n", "row 0 has the number '1'"),
    ],
)
def test_other_files_are_refused(text: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=problem):
        read_test_file(write(tmp_path, text), PAIRS)


def test_a_missing_file_is_named_with_what_the_folder_holds(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"RTE.test\.tsv is missing; there is no folder"):
        find_test_file(tmp_path, PAIRS)
    (tmp_path / "RTE").mkdir()
    (tmp_path / "RTE" / "dev.tsv").touch()
    with pytest.raises(DataError, match=r"RTE.test\.tsv is missing; .*holds dev\.tsv"):
        find_test_file(tmp_path, PAIRS)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "RTE").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "RTE" / "test.tsv").symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match="link"):
        find_test_file(tmp_path, PAIRS)


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.name)
def test_the_layout_of_every_file_is_read(sheet, tmp_path: Path) -> None:
    file = replace(sheet.test, rows=1)
    path = tmp_path / file.folder[-1]
    path.parent.mkdir()
    path.write_text("index\t" + "\t".join(file.text) + "\n0\t" + "\t".join("ab"[: len(file.text)]) + "\n")
    assert read_test_file(find_test_file(tmp_path, file), file) == [tuple("ab"[: len(file.text)])]
