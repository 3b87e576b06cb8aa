"""Runs of a comparison as cells of a sweep."""

from pathlib import Path
from typing import Any

import pytest

from kdrun.cli import jobs
from kdrun.cli.commands import compare
from kdrun.console import QuietConsole
from kdrun.errors import ConfigError, LaunchError
from kdrun.experiments import reuse, sweeps
from kdrun.experiments.compare import cells
from kdrun.experiments.compare.arms import Arm
from kdrun.storage.ledger import Status


def make_arms(tmp_path: Path) -> list[Arm]:
    shared = ["task=sst2", "preset=smoke", "report=false", f"output_dir={tmp_path}"]
    names = ("finetune", "kd")
    return [Arm(name, name, [f"method={name}", *shared], data_hash="rows") for name in names]


def set_status(monkeypatch: pytest.MonkeyPatch, *statuses: Status | None) -> None:
    runs = iter([None if s is None else reuse.ExistingRun(s, Path("run"), "too hot") for s in statuses])
    monkeypatch.setattr(reuse, "find_run", lambda output_dir, key: next(runs))
    monkeypatch.setattr(cells, "read_result", lambda path: {"path": path})


def test_cells_are_the_runs_and_more_seeds_extend_them(tmp_path: Path) -> None:
    arms = make_arms(tmp_path)
    sweep = cells.record_runs(arms, [1])
    assert sweep.name.startswith("compare-")
    assert [cell.label for cell in sweep.cells] == ["method=finetune seed=1", "method=kd seed=1"]
    arms[0].results[1] = {"finished": True}  # pyright: ignore[reportArgumentType]
    more = cells.record_runs(arms, [1, 2])
    assert more.name == sweep.name
    assert [cell.label for cell in more.cells if cell.id in more.requested] == [
        "method=kd seed=1", "method=finetune seed=2", "method=kd seed=2",
    ]  # fmt: skip
    assert sweeps.remaining_cells(more, retry=False) == [c for c in more.cells if c.id in more.requested]


def test_results_failures_and_unfinished_runs_are_collected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = make_arms(tmp_path)
    set_status(monkeypatch, Status.done, Status.failed, Status.interrupted, None)
    assert cells.collect(arms, [1, 2]) == ["kd, seed 1: interrupted", f"kd, seed 2: {sweeps.PENDING}"]
    assert list(arms[0].results) == [1]
    assert arms[0].failed == {2: "too hot"}


def test_no_verdict_while_runs_have_not_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted: list[Any] = []
    monkeypatch.setattr(jobs, "launch_cells", lambda sweep, overrides, *_: submitted.append((sweep, overrides)))
    set_status(monkeypatch, None, Status.failed, Status.done, Status.running)
    with pytest.raises(LaunchError, match=r"kd, seed 1: running.*kdrun runs sweep=compare-"):
        compare._run_by_jobs(make_arms(tmp_path), [1], ["hydra/launcher=slurm_cpu"], QuietConsole())
    ((sweep, overrides),) = submitted
    assert len(sweep.requested) == 2
    assert f"sweep={sweep.name}" in overrides


def test_a_wrong_setting_of_the_launcher_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tineout"):
        compare.main(["method=kd", "hydra/launcher=slurm_cpu", "hydra.launcher.tineout=3", f"output_dir={tmp_path}"])
    assert list(tmp_path.iterdir()) == []
