"""Bytes of text files: the same facts in blocks of any size."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import pytest

from kdrun.data.files import byte_checks
from kdrun.data.files.byte_checks import check_bytes

CASES = [
    (b'a,b\n"x ""y"" z",1\n', 2, None),
    (b'a,b\nx "y" z,1\n', 2, None),
    (b'a,b\n"abc" d,1\ne,2\n', 3, 2),
    (b'a,b\n1,2\n"abc,1\nd,2\n', 4, 3),
    (b'\xef\xbb\xbf"a",b\n1,2', 2, None),
    (b'a,b\n1,"2"', 2, None),
    (b'a,b\n""""""\n"x\ny",2\r\n"q"\r\n', 5, None),
    (b'a,b\n"x,1\n', 2, 2),
]


@pytest.mark.parametrize("block", [1, 2, 3, 1 << 24])
@pytest.mark.parametrize(("content", "num_lines", "bad_line"), CASES)
def test_lines_and_quotes(
    content: bytes, num_lines: int, bad_line: int | None, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(byte_checks, "BLOCK", block)
    (tmp_path / "x.csv").write_bytes(content)
    facts = check_bytes(tmp_path / "x.csv", "x.csv", ",")
    assert (facts.num_lines, facts.bad_quote_line) == (num_lines, bad_line)


def test_everything_that_a_csv_writer_writes_is_regular(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(0)
    for size in range(1, 60):
        monkeypatch.setattr(byte_checks, "BLOCK", draw.randint(1, 40))
        file = io.StringIO()
        rows = [["".join(draw.choices('a",\n é', k=draw.randint(0, 9))) for _ in range(3)] for _ in range(size)]
        csv.writer(file).writerows(rows)
        (tmp_path / "x.csv").write_bytes(file.getvalue().encode())
        assert check_bytes(tmp_path / "x.csv", "x.csv", ",").bad_quote_line is None, file.getvalue()
