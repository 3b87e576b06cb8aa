"""What a kill behind the last ledger line leaves is finished later."""

from pathlib import Path

import pytest

from kdrun.console import QuietConsole
from kdrun.reporting.html import report
from kdrun.runs import completion

LEFT = [
    "checkpoints/last.1/state.json",
    "checkpoints/.last.tmp/state.json",
    "checkpoints/.last.old/state.json",
    ".result.json.tmp-0123456789abcdef",
    ".generated.tmp/train.jsonl",
    ".lock",
]
STAY = ["checkpoints/last/state.json", "checkpoints/best/state.json", "result.json", "report.html"]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    for name in STAY:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_a_complete_run_is_left_alone(run_dir: Path) -> None:
    assert completion.is_complete(run_dir, True)


@pytest.mark.parametrize("name", LEFT)
def test_leftovers_are_deleted(run_dir: Path, name: str) -> None:
    (run_dir / name).parent.mkdir(parents=True, exist_ok=True)
    (run_dir / name).touch()
    assert not completion.is_complete(run_dir, False)
    completion.complete(run_dir, False, QuietConsole())
    assert completion.is_complete(run_dir, False)
    assert sorted(str(p.relative_to(run_dir)) for p in run_dir.rglob("*") if p.is_file()) == sorted(STAY)


def test_a_missing_report_is_written(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run_dir / "report.html").unlink()
    assert completion.is_complete(run_dir, False)
    assert not completion.is_complete(run_dir, True)
    monkeypatch.setattr(report, "write_run_report", lambda folder: folder / "report.html")
    completion.complete(run_dir, True, QuietConsole())
