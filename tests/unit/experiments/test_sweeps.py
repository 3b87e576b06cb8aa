"""Records of sweeps and decisions about cells."""

import dataclasses
import json
from pathlib import Path

import pytest

from kdrun.config import compose
from kdrun.config.schema import RunConfig
from kdrun.console import QuietConsole
from kdrun.errors import ConfigError
from kdrun.experiments import reuse, sweeps
from kdrun.storage.ledger import Status


def plan(tmp_path: Path, *overrides: str) -> sweeps.Sweep:
    sweep = sweeps.plan_sweep(["task=sst2", "preset=smoke", f"output_dir={tmp_path}", *overrides])
    assert sweep is not None
    return sweep


def test_a_record_keeps_its_keys_and_reads_old_names(tmp_path: Path) -> None:
    sweep = plan(tmp_path, "optim.gradient_accumulation_steps=1,2", "sweep=mine")
    path = sweep.folder / sweeps.RECORD
    record = json.loads(path.read_text())
    assert set(record["cells"][0]) == {"id", "label", "words", "identity", "problems"}
    assert sweeps.load(sweep.folder) == sweep
    path.write_text(path.read_text().replace("gradient_accumulation_steps", "accumulate"))
    assert sweeps.load(sweep.folder) == sweep


def test_an_invalid_cell_is_recorded_with_its_problems(tmp_path: Path) -> None:
    sweep = plan(tmp_path, "method=kd,zskd", "task=stsb")
    assert [bool(cell.problems) for cell in sweep.cells] == [False, True]
    kd, zskd = sweeps.cell_statuses(sweep)
    assert kd["status"] == sweeps.PENDING
    assert zskd["status"] == sweeps.REFUSED
    assert "zskd" in zskd["error"]


@pytest.mark.parametrize(
    ("status", "retry", "resumes"),
    [
        (Status.done, True, False),
        (Status.running, True, False),
        (Status.failed, False, False),
        (Status.failed, True, True),
        (Status.crashed, False, True),
        (Status.interrupted, False, True),
    ],
)
def test_the_status_of_an_existing_run_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: Status, retry: bool, resumes: bool
) -> None:
    config = cell_config(tmp_path, retry)
    monkeypatch.setattr(reuse, "run_key", lambda config: ("config", "code", "data"))
    monkeypatch.setattr(reuse, "find_run", lambda output_dir, key: reuse.ExistingRun(status, tmp_path / "earlier"))
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier" / "report.html").touch()
    remaining = sweeps.resolve_cell(config, QuietConsole())
    assert (remaining is not None) == resumes
    assert remaining is None or remaining.run_dir == str(tmp_path / "earlier")
    (reused,) = (tmp_path / "sweeps" / "mine" / sweeps.REUSED).read_text().splitlines()
    assert json.loads(reused)["run_dir"] == str(tmp_path / "earlier")


def test_a_new_cell_runs_in_the_folder_of_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = cell_config(tmp_path, retry=False)
    monkeypatch.setattr(reuse, "run_key", lambda config: ("config", "code", "data"))
    remaining = sweeps.resolve_cell(config, QuietConsole())
    sweep = sweeps.find_sweep(tmp_path, "mine")
    assert remaining is not None
    assert remaining.run_dir == str(sweep.folder / sweep.cells[0].id)
    other = dataclasses.replace(config, seed=9)  # a run with sweep=mine that is none of its cells
    assert sweeps.resolve_cell(other, QuietConsole()) is other


def test_the_folder_of_a_cell_with_other_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = cell_config(tmp_path, retry=False)
    monkeypatch.setattr(reuse, "run_key", lambda config: ("config", "code", "data"))
    sweep = sweeps.find_sweep(tmp_path, "mine")
    folder = sweep.folder / sweep.cells[0].id
    folder.mkdir()
    record = {"run_id": "a", "command": "kdrun", "config": {}, "code": "0", "method": "kd", "found": {"data": "other"}}
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="sweep=NAME"):
        sweeps.resolve_cell(config, QuietConsole())


def cell_config(tmp_path: Path, retry: bool) -> RunConfig:
    """Config of the first cell of a sweep over two seeds, as Hydra passes it to the job."""
    plan(tmp_path, "seed=1,2", "sweep=mine")
    overrides = ["task=sst2", "preset=smoke", f"output_dir={tmp_path}", "seed=1", "sweep=mine"]
    return compose.load_config([*overrides, f"retry={str(retry).lower()}"])
