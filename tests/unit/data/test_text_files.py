"""Encodings and line ends of text files."""

import pytest

from kdrun.data.text_files import check_head, check_text
from kdrun.errors import DataError

TEXT = "sentence\tlabel\na fine film\t1\nan awful one\t0\n"


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-16", "UTF-16,.*iconv -f UTF-16 "),
        ("utf-16-le", "UTF-16LE,.*iconv -f UTF-16LE "),
        ("utf-16-be", "UTF-16BE,.*iconv -f UTF-16BE "),
        ("utf-32", "UTF-32,.*iconv -f UTF-32 "),
    ],
)
def test_a_wide_encoding_is_named_with_its_remedy(encoding: str, expected: str) -> None:
    for check in (check_text, check_head):
        with pytest.raises(DataError, match=rf"a\.tsv is {expected}"):
            check(TEXT.encode(encoding), "a.tsv")


def test_latin1_is_named_with_line_and_remedy() -> None:
    with pytest.raises(DataError, match=r"a\.tsv is not UTF-8: byte 0xe4.*line 2.*latin1"):
        check_text("sentence\tlabel\nein sch\u00e4ner\t1\n".encode("latin1"), "a.tsv")


@pytest.mark.parametrize("text", [TEXT.replace("\n", "\r"), TEXT.replace("\n", "\r") + "last\n"])
def test_carriage_returns_alone_are_named(text: str) -> None:
    with pytest.raises(DataError, match=r"a\.tsv has lines that end with a carriage return alone"):
        check_text(text.encode(), "a.tsv")


@pytest.mark.parametrize(
    "text", ["", TEXT, TEXT.replace("\n", "\r\n"), "\ufeff" + TEXT, "a\rb\t1\nc\t0\n", "\u4e2d\u6587\u4e2d\u6587\n"]
)
def test_usual_text_is_accepted(text: str) -> None:
    check_text(text.encode("utf-8"), "a.tsv")
