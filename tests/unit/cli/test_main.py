"""The command line: flags, exit codes, and errors of one run or one cell."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig

from kdrun.cli import jobs, main, verbosity
from kdrun.config import compose
from kdrun.console import VERBOSITY, WarningConsole
from kdrun.errors import BusyError, DataError
from kdrun.experiments import student_alone, sweeps
from kdrun.runs import runner


def test_flags_and_overrides_are_separated() -> None:
    flags, overrides, unknown = main._split(["-m", "seed=1,2", "--cfg", "job", "method=kd", "--fast", "-c"])
    assert flags == {"multirun", "cfg"}
    assert overrides == ["seed=1,2", "method=kd"]
    assert unknown == ["--fast"]
    assert main._split(["--cfg", "seed=1"]) == ({"cfg"}, ["seed=1"], [])  # `job` may be left out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--fast"], "--fast"),
        (["-m", "--cfg", "job", "seed=1,2"], "-m"),
        (["optim.lrr=1"], "optim.lr"),
        (["train"], "'train'"),
    ],
)
def test_an_invalid_command_line_exits_with_code_2(
    args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(args) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert message in output.err


def test_the_composed_config_is_printed_and_nothing_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["seed=7", "--cfg", "job"]) == 0
    assert "\nseed: 7\n" in capsys.readouterr().out


@pytest.fixture(autouse=True)
def _verbosity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VERBOSITY, raising=False)


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Function that runs a job whose run, or whose cell, raises an error; the exit codes are recorded."""
    monkeypatch.setattr(jobs, "exit_codes", [])
    hydra = SimpleNamespace(overrides=SimpleNamespace(task=["sweep=mine", "seed=1", "retry=true"]))
    monkeypatch.setattr(HydraConfig, "get", lambda: hydra)
    monkeypatch.setattr(sweeps, "resolve_cell", lambda config, console: config)

    def run_job(error: BaseException | None, *overrides: str) -> list[int]:
        def fake_run(config: Any, console: Any, recorded: list[str]) -> None:
            assert recorded == ["seed=1"]  # a run does not record the sweep that it belongs to
            if error is not None:
                raise error

        monkeypatch.setattr(runner, "run", fake_run)
        jobs.hydra_job(compose.compose(list(overrides)))
        return jobs.exit_codes

    return run_job


def test_a_run_that_succeeds_leaves_no_exit_code(job: Any) -> None:
    assert job(None) == []


def test_a_problem_of_the_user_is_printed_with_its_exit_code(job: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert job(DataError("no rows")) == [DataError.code]
    assert "no rows" in "".join(capsys.readouterr())


def test_an_unexpected_error_stops_a_run_but_not_a_sweep(job: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        job(RuntimeError("broken"))
    assert job(RuntimeError("broken"), "sweep=mine") == [1]
    assert "RuntimeError: broken" in "".join(capsys.readouterr())
    with pytest.raises(DataError):
        job(DataError("no rows"), "debug=true")  # with its traceback


def test_a_cell_that_another_process_runs_is_skipped(job: Any) -> None:
    assert job(BusyError(["in use"]), "sweep=mine") == []
    assert job(BusyError(["in use"])) == [BusyError.code]


def test_an_interrupted_cell_stops_its_sweep(job: Any) -> None:
    assert job(KeyboardInterrupt()) == [130]
    with pytest.raises(KeyboardInterrupt):
        job(KeyboardInterrupt(), "sweep=mine")


def test_a_deleted_working_directory_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main.run(["task=sst2"]) == 2
    assert "working directory was deleted" in capsys.readouterr().err


def test_closed_outputs_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["kdrun", "--version"])
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 0
    for stream in (sys.stdout, sys.stderr):
        stream.close()


def test_control_characters_in_errors_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["task=\x1b]52;c;x\x07"]) == 2
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("args", [[], ["-m"], ["-q"]], ids=str)
def test_a_bare_command_shows_the_help_and_one_command_to_start_with(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(args) == 0
    assert capsys.readouterr().out.endswith(main.START)


@pytest.mark.parametrize("name", ["compare", "tune", "check"])
def test_a_bare_subcommand_that_trains_shows_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([name]) == 0
    output = capsys.readouterr().out
    assert output.startswith(f"kdrun {name}: ")
    assert f"Start with: kdrun {name} " in output


def test_help_is_a_subcommand_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["help"]) == 0
    assert capsys.readouterr().out == main.help_text()
    assert main.run(["help", "runs"]) == 0
    assert capsys.readouterr().out.startswith("kdrun runs: ")


def test_resume_takes_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["resume"]) == 2
    assert "RUN_DIR" in capsys.readouterr().err
    assert main.run(["resume", "no such folder"]) == 2
    assert "resume=no such folder" in capsys.readouterr().err


def test_a_saved_config_with_overrides_is_composed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["method=kd", "seed=7", "optim.lr=0.002", "--cfg", "job"]) == 0
    (tmp_path / "config.yaml").write_text(capsys.readouterr().out)
    assert main.run([f"config={tmp_path}/config.yaml", "seed=8", "--cfg", "job"]) == 0
    output = capsys.readouterr().out
    assert "\nseed: 8\n" in output
    assert "  lr: 0.002\n" in output


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("joblib", "kdrun[joblib]"),
        ("submitit_slurm", "kdrun[slurm]"),
        ("slurm_gpu", "kdrun[slurm]"),
        ("ray", "clusters.md"),
        ("modal", "hydra-modal-launcher"),
    ],
)
def test_a_launcher_that_is_not_installed_names_what_to_install(name: str, remedy: str) -> None:
    problem = compose._launcher_problem(name)
    assert (problem.key, problem.value) == ("hydra/launcher", name)
    assert remedy in problem


def test_an_unknown_launcher_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["-m", "hydra/launcher=modal", "seed=1,2"]) == 2
    assert "hydra-modal-launcher" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "level"),
    [([], None), (["-q"], "quiet"), (["--quiet"], "quiet"), (["-v"], "verbose"), (["-q", "--verbose"], "verbose")],
)
def test_verbosity_flags_are_taken_from_any_place(
    flags: list[str], level: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VERBOSITY, "quiet")
    assert verbosity.take_verbosity(["seed=1", *flags, "-m"]) == ["seed=1", "-m"]
    assert os.environ.get(VERBOSITY) == level
    assert isinstance(verbosity.run_console(), WarningConsole) == (level == "quiet")


@pytest.mark.parametrize("flags", [[], ["-q"]], ids=str)
def test_the_student_alone_is_trained_only_where_its_gain_is_printed(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    headline, metrics = {"split": "dev", "metric": "accuracy"}, {"dev": {"accuracy": 0.5}}
    result = {"method": "kd", "data": {"name": "toy"}, "headline": headline, "student": {"metrics": metrics}}
    trained: list[str] = []
    monkeypatch.setattr(runner, "run", lambda *_: result)
    monkeypatch.setattr(student_alone, "train_and_print", lambda config, *_: trained.append(config.method.name))
    assert main.run(["method=kd", "task=sst2", *flags]) == 0
    assert trained == ([] if flags else ["kd"])
    assert ("kd on toy: dev accuracy 50.0 %" in capsys.readouterr().out) == bool(flags)


def test_only_the_cells_of_this_command_line_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = sweeps.Sweep("s", Path("outputs/sweeps/s"), "code", [], frozenset({"b"}))
    monkeypatch.setattr(sweeps, "cell_statuses", lambda _: [{"cell": "a"}, {"cell": "b"}])
    assert main._requested_cells(sweep) == [{"cell": "b"}]
