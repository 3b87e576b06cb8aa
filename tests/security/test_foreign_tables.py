"""Tables from a stranger's ledger: names of models, tasks and settings are text in every format."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from kdrun.cli import main
from kdrun.reporting.tables.render import Format, TextTable, render
from tests.helpers.ledgers import comparison_line, end_line, start_line

ATTACKS = [
    "big\n\\input{/etc/passwd}",
    "a\u2028\\write18{id}",
    "x\r\n\\end{tabular}",
    "=cmd|' /C calc'!A0",
    "+1+cmd",
    "-2+3+cmd|x",
    "@SUM(A1)",
    "\t=1+1",
    "<script>alert(1)</script>",
    "<!-- /kdrun table -->",
    "![x](http://127.0.0.1/a.png)",
    "a|b\\|c",
    "\x1b]52;c;aGk=\x07",
]


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("table_format", list(Format))
def test_a_name_stays_one_cell(
    name: str, table_format: Format, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = {"name": name, "params": 1, "metrics": {"dev": {"accuracy": 0.5}}}
    run = [start_line("r1"), end_line("r1", teacher=model, student=model, data_name=name)]
    comparison = comparison_line("c1", student=name, data_name=name, teacher={"name": name, "score": 0.9})
    path = tmp_path / "ledger.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in [*run, comparison]))
    tables = {
        "means": ["rows=task,student,teacher", "cols=[]"],
        "arms": ["of=arms"],
    }
    for args in tables.values():
        assert main.run(["table", *args, f"format={table_format.value}", f"ledger={path}"]) == 0
        out = capsys.readouterr().out
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", out)
        lines = out.split("\n")
        if table_format is Format.latex:
            assert "\\input{" not in re.sub("(?m)^%.*$", "", out)
            assert all(
                line.startswith(("%", "\\begin", "\\toprule", "\\midrule", "\\bottomrule", "\\end"))
                or line.endswith(r"\\")
                for line in lines
                if line
            )
        if table_format is Format.markdown:
            assert "<" not in out
            assert "](" not in out
            bars = [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines if line.startswith("|")]
            assert len(set(bars)) == 1
        if table_format is Format.csv:
            rows = list(csv.reader(io.StringIO(out)))
            assert len({len(row) for row in rows}) == 1
            assert not any(re.match(r"\s*[=+@\t]|-\D|-\d.*[^\d.e-]", cell) for row in rows for cell in row)


def test_numbers_of_a_csv_stay_numbers() -> None:
    record = {"=a": -0.5, "b": "-0.5", "c": "-1e-05", "d": 3, "e": "-x"}
    assert render(TextTable("t", [], [], [record]), Format.csv) == "'=a,b,c,d,e\n-0.5,-0.5,-1e-05,3,'-x"


def test_the_list_of_runs_folds_and_escapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ledger.jsonl"
    lines = [
        start_line("r1", run_dir="out/\x1b[2J\nnext", task="a\u202eb"),
        end_line("r1", "failed", error="\x9b31m\nx"),
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert main.run(["runs", f"ledger={path}"]) == 0
    out = capsys.readouterr().out
    assert "out/\\x1b[2J next" in out
    assert not re.search("[\x1b\x9b\u202e]", out)
