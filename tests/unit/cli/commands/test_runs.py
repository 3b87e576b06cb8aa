"""`kdrun runs`: which runs are listed, and where notes go."""

import json
from pathlib import Path

import pytest

from kdrun.cli.commands import runs
from kdrun.errors import ConfigError


@pytest.fixture
def output_dir(tmp_path: Path) -> Path:
    lines = []
    for seed in range(3):
        start = {"event": "start", "run_id": f"run-{seed}", "run_dir": str(tmp_path / f"run-{seed}"), "method": "kd"}
        start |= {
            "task": "sst2",
            "preset": "smoke",
            "seed": seed,
            "source": "embedded",
            "started": 1e9 + seed,
            "command": "kdrun",
        }
        lines += [start, {"event": "end", "run_id": f"run-{seed}", "status": "failed", "error": f"error {seed}\nmore"}]
    (tmp_path / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_json_is_valid_and_its_note_goes_to_stderr(output_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runs.main([f"output_dir={output_dir}", "last=2", "format=json"]) == 0
    output = capsys.readouterr()
    assert [run["run_id"] for run in json.loads(output.out)] == ["run-1", "run-2"]
    assert "last=0" in output.err


def test_the_table_has_the_first_line_of_each_error(output_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runs.main([f"output_dir={output_dir}"]) == 0
    text = capsys.readouterr().out
    assert "3 failed" in text
    assert "run-1 failed: error 1" in text
    assert "more" not in text
    assert "last=0" not in text


def test_filters_do_not_apply_to_the_cells_of_a_sweep(output_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"method=kd: sweep=mine"):
        runs.main([f"output_dir={output_dir}", "sweep=mine", "method=kd"])
    with pytest.raises(ConfigError, match="sweep=mine"):
        runs.main([f"output_dir={output_dir}", "sweep=mine"])


def test_a_narrow_terminal_leaves_columns_out_and_keeps_score_and_folder() -> None:
    row = ["2026-11-27 10:24", "kd", "sst2 (synthetic)", "embedded", "1", "done", "93.4 % dev accuracy"]
    row += ["100.0 %", "76", "outputs/kd/sst2/20261127-102413-a5640b"]
    assert runs._columns_that_do_not_fit([row], 200) == []
    assert runs._columns_that_do_not_fit([row], 120) == ["retention", "time (s)", "preset"]
    assert not {"score", "run folder", "status", "seed"} & set(runs._columns_that_do_not_fit([row], 40))


def test_a_narrow_terminal_names_the_folder_of_all_runs_once(
    output_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs.sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    assert runs.main([f"output_dir={output_dir}"]) == 0
    text = capsys.readouterr().out
    assert f"run folders are in {output_dir}" in " ".join(text.split())
    assert text.count(str(output_dir)) <= 1
    assert runs.common_parent(["/a/b/run-1", "/a/c/run-2"]) == "/a"
    assert runs.common_parent(["/a/run-1", "/b/run-2"]) == ""
    assert runs.common_parent(["outputs/run-1"]) == ""


def test_folders_below_the_current_one_are_relative(
    output_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(output_dir)
    assert runs.main([f"output_dir={output_dir}"]) == 0
    text = capsys.readouterr().out
    assert "run-1" in text
    assert str(output_dir) not in text
