"""Readers of the ledger."""

from pathlib import Path

from kdrun.config import compose
from kdrun.runs.run_dir import RunDirectory
from kdrun.storage import files, ledger
from tests.helpers.ledgers import comparison_line, read_ledger, start_line


def test_read_ledger_filters_by_sweep(tmp_path: Path) -> None:
    for sweep in ("a", "b"):
        RunDirectory(compose.load_config([f"output_dir={tmp_path}/out", f"sweep={sweep}"])).open("kdrun")
    assert [run["sweep"] for run in read_ledger(tmp_path / "out", "b")] == ["b"]
    assert read_ledger(tmp_path / "elsewhere") == []


def test_read_comparisons_skips_runs_and_keeps_the_latest(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    for mean in (1, 2):
        files.append_jsonl(path, comparison_line("a", mean=mean))
    files.append_jsonl(path, start_line("r"))
    assert [run["run_id"] for run in ledger.read_runs(path)] == ["r"]
    comparisons = list(ledger.read_comparisons(path))
    assert [(c["comparison_id"], c["mean"]) for c in comparisons] == [("a", 2)]
    assert "status" not in comparisons[0]
