"""`kdrun table` as a user meets it: tables, documents, publication."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from kdrun.cli import main
from kdrun.cli.commands import table
from kdrun.errors import ConfigError, DataError
from kdrun.reporting.tables.table import markdown
from tests.helpers.paths import ROOT

DOCUMENT = (
    "# Results\n<!-- kdrun table rows=method cols=task ledger=results.jsonl -->\n<!-- /kdrun table -->\nThe end.\n"
)


def line(method: str, seed: int, score: float, **keys: Any) -> dict[str, Any]:
    record = {
        "event": "run", "run_id": f"{method}{seed}", "status": "done", "started": float(seed), "method": method,
        "task": "rte", "data_name": "RTE", "synthetic": False, "preset": "mini", "seed": seed, "seconds": 9.0,
        "headline": {"metric": "accuracy", "split": "dev"}, "teacher": None,
        "student": {"name": "s", "params": 9, "metrics": {"dev": {"accuracy": score}}}, "retention": None,
        "command": f"kdrun method={method} task=rte seed={seed} data.dir=/home/al/glue output_dir=/tmp/out",
        "run_dir": f"/tmp/out/{method}{seed}", "pid": 7, "provenance": {"code": "c0de", "data_hash": "rows"},
    }  # fmt: skip
    return record | keys


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a ledger of four finished runs and a document with one table to be made."""
    monkeypatch.chdir(tmp_path)
    runs = [line("kd", 1, 0.6), line("kd", 2, 0.7), line("finetune", 1, 0.5), line("finetune", 2, 0.6)]
    (tmp_path / "results.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in runs))
    (tmp_path / "README.md").write_text(DOCUMENT)
    return tmp_path


def output(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main.run(["table", *words]) == code
    return capsys.readouterr().out


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("terminal", "kd 65.0 ± 7.1 (2) *"),
        ("markdown", "| kd | **65.0 ± 7.1 (2)** |"),
        ("csv", "kd,RTE,,accuracy,dev,false,65.0,7.071068,2,1 2,"),
        ("latex", r"kd & \textbf{65.0 $\pm$ 7.1 (2)} \\"),
    ],
)
def test_formats(capsys: pytest.CaptureFixture[str], form: str, expected: str) -> None:
    lines = output(capsys, "ledger=results.jsonl", f"format={form}").splitlines()
    assert expected in [" ".join(text.split()) for text in lines]


@pytest.mark.usefixtures("folder")
def test_filters_axes_and_digits(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["ledger=results.jsonl", "format=markdown", "method=kd", "rows=method,student", "cols=seed", "digits=2"]
    assert "| kd | s | 60.00 (1) | 70.00 (1) |" in output(capsys, *words)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["rows=mothod"], "rows=mothod: no such axis; did you mean 'method'"),
        (["rows=task"], "name task twice"),
        (["check=true"], "check=true needs update=FILE"),
        (["update=README.md", "rows=task"], "leave out rows"),
        (["of=verdicts", "seed=1", "paper=true"], "leave out seed, paper"),
        (["update=nowhere.md"], "update=nowhere.md: no such file"),
    ],
)
def test_invalid_arguments_are_an_error(words: list[str], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        table.main(words)


def test_an_empty_table_suggests_a_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["table", f"output_dir={tmp_path}"]) == 1
    assert "`kdrun method=kd task=sst2` runs one" in capsys.readouterr().err
    assert main.run(["table", f"output_dir={tmp_path}", "of=verdicts"]) == 1
    assert "`kdrun compare method=kd seeds=5` runs one" in capsys.readouterr().err


def test_a_document_is_checked_and_updated(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = folder / "README.md"
    assert main.run(["table", "update=README.md", "check=true"]) == 1
    captured = capsys.readouterr()
    assert "README.md: 1 table, 1 out of date" in captured.out
    assert "README.md:2: differs from its ledger: kdrun table rows=method" in captured.err
    assert "kdrun table update=README.md" in captured.err
    assert readme.read_text() == DOCUMENT
    assert "1 updated" in output(capsys, "update=README.md")
    new = readme.read_text()
    assert new.startswith("# Results\n<!-- kdrun table rows=method cols=task ledger=results.jsonl -->\n")
    assert new.endswith("\n<!-- /kdrun table -->\nThe end.\n")
    assert "| kd | **65.0 ± 7.1 (2)** |" in new
    assert "README.md: 1 table, 0 out of date" in output(capsys, "update=README.md", "check=true")
    stamp = readme.stat().st_mtime_ns
    assert "0 updated" in output(capsys, "update=README.md")
    assert readme.stat().st_mtime_ns == stamp


def test_an_error_in_one_document_changes_none(folder: Path) -> None:
    (folder / "b.md").write_text("<!-- kdrun table ledger=gone.jsonl -->\n<!-- /kdrun table -->\n")
    with pytest.raises(ConfigError, match=r"gone\.jsonl: no such file"):
        table.main(["update=README.md,b.md"])
    assert (folder / "README.md").read_text() == DOCUMENT


@pytest.mark.parametrize("word", ["format=csv", "update=a.md", "export=a", "since=2d"])
def test_a_block_rejects_arguments_without_meaning_there(word: str) -> None:
    with pytest.raises(ConfigError, match="not allowed in a block"):
        markdown([word])


def test_export_publishes_what_read_back_makes_the_same_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crashed = {"event": "start", "run_id": "x", "status": "running", "started": 3.0, "command": "kdrun", "pid": 0}
    live = line("kd", 3, 0.5, run_id="y", status="running", pid=os.getpid(), started=2e11)
    with (folder / "results.jsonl").open("a") as file:
        file.writelines(f"{json.dumps(line('kd', 3, 0.9) | changes)}\n" for changes in (crashed, live))
    text = output(capsys, "ledger=results.jsonl", "export=public.jsonl")
    assert "public.jsonl: 5 runs (4 done, 1 crashed) and 0 comparisons" in text
    assert "1 still running, left out" in text
    text = (folder / "public.jsonl").read_text()
    assert "/home" not in text
    assert "/tmp" not in text
    assert '"command": "kdrun method=kd task=rte seed=1 data.dir=DATA_DIR"' in text
    before = output(capsys, "ledger=results.jsonl", "format=markdown", "status=done")
    assert output(capsys, "ledger=public.jsonl", "format=markdown", "status=done") == before
    assert "1 replace older lines\n  4 other" in output(
        capsys, "ledger=results.jsonl", "export=public.jsonl", "method=kd", "seed=1"
    )


def test_the_tables_of_the_repository_are_up_to_date(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    names = [str(p.relative_to(ROOT)) for p in pages if "\n<!-- kdrun table" in p.read_text(encoding="utf-8")]
    assert any(name.startswith("docs/experiments/") for name in names)
    assert main.run(["table", f"update={','.join(names)}", "check=true"]) == 0, capsys.readouterr().err


def test_tables_that_ask_for_what_no_comparison_has(folder: Path) -> None:
    arm = {"name": "kd", "words": ["method=kd"], "scores": {"1": 0.6}, "mean": 0.6, "sd": None, "kept": None}
    older = {
        "event": "comparison", "comparison_id": "c", "started": 1.0, "task": "rte", "preset": "mini", "pairs": [],
        "arms": [arm | {"seconds": None}], "synthetic": False, "metric": "accuracy", "split": "dev", "student": None,
        "seeds": [1], "command": "kdrun compare",
    }  # fmt: skip
    with (folder / "results.jsonl").open("a") as file:
        file.write(f"{json.dumps(older)}\n")
    with pytest.raises(DataError, match="by domain"):
        table.main(["of=domains", "paper=true", "ledger=results.jsonl"])
    with pytest.raises(DataError, match="exported text"):
        table.main(["of=text", "ledger=results.jsonl"])
