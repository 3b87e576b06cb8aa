"""Jobs of launchers: their overrides, their signals, the cells that are submitted."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from submitit.core.utils import DelayedSubmission, JobPaths
from submitit.local.local import LOCAL_REQUEUE_RETURN_CODE, LocalJobEnvironment

from kdrun import processor, signals
from kdrun.cli import jobs
from kdrun.config import compose, precision
from kdrun.console import QuietConsole
from kdrun.errors import LaunchError
from kdrun.experiments import sweeps
from kdrun.storage.ledger import Status

SIGNALS = (signal.SIGTERM, signal.SIGCONT, signal.SIGUSR2)


class Cell:
    """A function that submitit can checkpoint, as Hydra's launcher is one."""

    def __call__(self) -> None:
        """Do nothing."""

    def checkpoint(self) -> DelayedSubmission:
        """The submission of the requeued job."""
        return DelayedSubmission(self)


@pytest.fixture
def submitit_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The handlers and the environment of a job of submitit in this process."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "local")
    monkeypatch.setenv("SUBMITIT_LOCAL_JOB_ID", "1")
    delayed = DelayedSubmission(Cell())
    delayed.set_timeout(60, 3)
    LocalJobEnvironment()._handle_signals(JobPaths(tmp_path, job_id="1"), delayed)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("submitit_job")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGUSR2, LOCAL_REQUEUE_RETURN_CODE), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_a_signal_in_a_job_of_submitit_saves_first(
    number: int, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """SIGUSR2 ends with the code by which submitit starts the job again, SIGTERM with that of the signal."""
    from hydra.core.hydra_config import HydraConfig

    from kdrun.runs import runner

    saved: list[str] = []

    def run(*_: Any) -> None:
        with signals.handle_signals():
            try:
                with signals.defer_signals():
                    os.kill(os.getpid(), number)
                    saved.append("checkpoint")
            except KeyboardInterrupt as stop:
                saved.append(str(stop))
                raise

    monkeypatch.setattr(HydraConfig, "get", lambda: type("H", (), {"overrides": type("O", (), {"task": []})}))
    monkeypatch.setattr(runner, "run", run)
    monkeypatch.setattr(sweeps, "resolve_cell", lambda config, console: config)
    with pytest.raises(SystemExit) as end:
        jobs.hydra_job(compose.compose(["preset=smoke", "sweep=mine", f"output_dir={tmp_path}"]))
    assert end.value.code == code
    assert saved == ["checkpoint", f"stopped by {signal.Signals(number).name}"]


def test_overrides_of_a_launcher_are_those_of_hydra() -> None:
    overrides = ["seed=1,2", "hydra/launcher=slurm_cpu", "hydra.launcher.partition=x", "method=kd"]
    assert jobs.split_launcher(overrides) == (overrides[1:3], [overrides[0], overrides[3]])
    assert jobs.split_launcher(["seed=1", "hydra.sweep.dir=x"]) == ([], ["seed=1"])


@pytest.mark.parametrize("name", compose.launchers())
def test_launchers_of_the_config_tree_compose_and_check_their_keys(name: str) -> None:
    assert compose.validate_overrides([f"hydra/launcher={name}", "hydra.launcher.timeout_min=7"], multirun=True) == []
    (problem,) = compose.validate_overrides([f"hydra/launcher={name}", "hydra.launcher.tineout=7"], multirun=True)
    assert "tineout" in problem


def test_a_sweep_over_launchers_is_refused() -> None:
    (problem,) = compose.validate_overrides(["hydra/launcher=joblib,slurm_cpu"], multirun=True)
    assert (problem.key, problem.value) == ("hydra/launcher", "joblib,slurm_cpu")


def test_only_cells_that_have_to_run_are_submitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = ["preset=smoke", "report=false", f"output_dir={tmp_path}", "sweep=mine"]
    sweep = sweeps.plan_sweep([*overrides, "seed=1,2,3,4"])
    assert sweep is not None
    statuses = [Status.done.value, Status.crashed.value, Status.failed.value, sweeps.PENDING]
    cells = [{"cell": cell.id, "status": status} for cell, status in zip(sweep.cells, statuses, strict=True)]
    monkeypatch.setattr(sweeps, "cell_statuses", lambda _: cells)
    submitted: list[list[str]] = []
    monkeypatch.setattr(jobs, "launch", lambda job_overrides, launcher, folder: submitted.extend(job_overrides))
    for retry in ([], ["retry=true"]):
        jobs.launch_cells(sweep, [*overrides, *retry], ["hydra/launcher=slurm_cpu"], QuietConsole())
    seeds = [next(o for o in job if o.startswith("seed=")) for job in submitted]
    assert seeds == ["seed=2", "seed=4", "seed=2", "seed=3", "seed=4"]
    shared = {"preset=smoke", "seed=2", "report=false", f"output_dir={tmp_path}", "sweep=mine"}
    assert set(submitted[0]) == {*shared, "runtime.precision=fp32"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [("threads=1", "bf16"), ("precision=auto", "bf16"), ("precision=fp32", "fp32")],
)
def test_a_job_has_the_precision_of_the_machine_that_submits_it(
    given: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "bf16_instructions", lambda: "amx_bf16")
    monkeypatch.setattr(precision, "GPU_NODES", ())
    overrides = ["preset=mini", "task=sst2", "data.dir=X", "method=finetune", f"runtime.{given}"]
    cell = sweeps.make_cell(overrides, compose.to_config(compose.compose(overrides)), set())
    named = [override for override in sweeps.job_overrides(cell) if override.startswith("runtime.precision=")]
    assert named == [f"runtime.precision={expected}"]


def test_a_launcher_without_slurm_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LaunchError, match="srun"):
        jobs.launch([["seed=1"]], ["hydra/launcher=slurm_cpu"], tmp_path)


def test_a_planted_link_of_a_launcher_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".submitit").symlink_to("elsewhere")
    with pytest.raises(Exception, match=r"\.submitit is a link"):
        jobs.launch([["seed=1"]], ["hydra/launcher=local_jobs"], tmp_path)
