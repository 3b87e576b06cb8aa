"""Jobs of Hydra: runs, cells of a sweep, jobs of launchers."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kdrun import signals
from kdrun.cli import verbosity
from kdrun.cli.launcher_folder import check_launcher_folder
from kdrun.errors import RECOVERABLE_ERRORS, BusyError, ConfigError, KdrunError, LaunchError, as_path_error
from kdrun.formatting import plural

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from kdrun.config.schema import RunConfig
    from kdrun.console import Console
    from kdrun.experiments.sweeps import Sweep
    from kdrun.storage.run_result import RunResult

SUBMITIT_JOB = "SUBMITIT_EXECUTOR"
"""Environment variable that submitit sets in its jobs."""
exit_codes: list[int] = []
"""Exit codes of the jobs of this process that did not succeed."""
distilled: list[tuple[RunConfig, list[str], RunResult]] = []
"""Finished runs to compare with the same student without a teacher."""


def split_launcher(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """The overrides of Hydra's launcher and those of the runs; the former are empty if no launcher is chosen."""
    from kdrun.config.overrides import LAUNCHER, is_hydra, parse_override

    parsed = [parse_override(override) for override in overrides]
    of_hydra = [not isinstance(override, str) and is_hydra(override) for override in parsed]
    launcher = [override for override, is_of_hydra in zip(overrides, of_hydra, strict=True) if is_of_hydra]
    rest = [override for override, is_of_hydra in zip(overrides, of_hydra, strict=True) if not is_of_hydra]
    is_chosen = any(override.startswith(f"{LAUNCHER}=") for override in launcher)
    return (launcher, rest) if is_chosen else ([], rest)


def launch_cells(sweep: Sweep, overrides: Sequence[str], launcher: Sequence[str], console: Console) -> None:
    """Run the cells of a command line that have to run or resume as jobs of a launcher.

    Args:
        sweep: the recorded sweep.
        overrides: overrides of the command line without those of the launcher; `retry=true` includes failed cells.
        launcher: overrides that choose and configure the launcher.
        console: where to print.
    """
    from kdrun.experiments import sweeps
    from kdrun.storage import claim_files

    shared = [override for override in overrides if sweeps.is_shared(override)]
    cells = sweeps.remaining_cells(sweep, "retry=true" in overrides)
    job_overrides = [[*sweeps.job_overrides(cell), *shared] for cell in cells]
    if not job_overrides:
        return
    for problem in claim_files.find_problems(sweep.folder):
        console.warning(problem)
    name = next(text.partition("=")[2] for text in launcher if text.startswith("hydra/launcher="))
    console.print(f"{plural(len(job_overrides), 'job')} by hydra/launcher={name}; logs below {sweep.folder}")
    try:
        launch(job_overrides, launcher, sweep.folder)
    except LaunchError as error:
        console.error(
            f"{error}; other jobs may still run: {sweep.command} lists the cells, and the repeated command "
            "continues those that stopped"
        )
        exit_codes.append(error.code)
    except KeyboardInterrupt:
        console.print(f"stopped waiting; jobs of a cluster continue: {sweep.command} lists the cells")
        raise


def launch(job_overrides: Sequence[Sequence[str]], launcher: Sequence[str], folder: Path) -> None:
    """Run jobs by a launcher of Hydra, and wait for them.

    Args:
        job_overrides: overrides of each job.
        launcher: overrides that choose and configure the launcher.
        folder: where the launcher writes its logs, unless `launcher` names another folder.

    Raises:
        LaunchError: the launcher cannot submit jobs, or a job ended without a result.
        Exception: an error of a job that kdrun does not handle.
    """
    from hydra import initialize_config_dir
    from hydra._internal.callbacks import Callbacks
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.plugins import Plugins
    from hydra.core.utils import JobStatus
    from hydra.types import HydraContext, RunMode

    from kdrun.config.compose import register_schemas, register_user_choices
    from kdrun.config.overrides import quote_value
    from kdrun.config.paths import CONF_DIR

    register_schemas()
    register_user_choices()
    logging.getLogger("submitit").setLevel(logging.ERROR)  # without Slurm's accounting it repeats one warning
    launcher = [f"hydra.sweep.dir={quote_value(str(folder))}", *launcher]
    check_launcher_folder(launcher)
    with initialize_config_dir(config_dir=str(CONF_DIR), version_base="1.3", job_name="kdrun"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        config = hydra.compose_config(
            "config", overrides=list(launcher), run_mode=RunMode.MULTIRUN, with_log_configuration=False
        )
        context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(config))
        plugin = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=hydra_job, config=config)
        try:
            results = plugin.launch([list(overrides) for overrides in job_overrides], initial_job_idx=0)
        except RuntimeError as error:  # submitit raises it without Slurm, and at the first job without a result
            raise LaunchError(" ".join(str(error).splitlines()[:2])) from error  # logs of the job follow
    failed = [result for result in results if result.status is JobStatus.FAILED]
    if failed:
        _ = failed[0].return_value  # raises the error of the job


def run_one(overrides: list[str]) -> None:
    """Compose and run one command line; Hydra's own start would compose it twice more."""
    from kdrun.config import compose
    from kdrun.config.overrides import is_hydra, parse_override

    exit_codes.clear()
    distilled.clear()
    parsed = [(text, parse_override(text)) for text in overrides]
    of_run = [text for text, override in parsed if isinstance(override, str) or not is_hydra(override)]
    _run_composed(compose.compose(overrides), of_run)


def run_hydra(args: list[str]) -> None:
    """Let Hydra compose and launch one job per cell of a sweep."""
    import hydra

    from kdrun.config.compose import register_schemas, register_user_choices
    from kdrun.config.paths import CONF_DIR

    register_schemas()
    register_user_choices()
    check_launcher_folder(args)
    exit_codes.clear()
    distilled.clear()
    original_argv = sys.argv
    sys.argv = ["kdrun", "-m", *args]
    try:
        hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="config")(hydra_job)()
    finally:
        sys.argv = original_argv


def hydra_job(composed: DictConfig) -> None:
    """Run a job of Hydra."""
    from hydra.core.hydra_config import HydraConfig

    _run_composed(composed, HydraConfig.get().overrides.task)


def _run_composed(composed: DictConfig, overrides: Sequence[str]) -> None:
    """Run one composed config. An error that the user can fix is printed, and a sweep continues with the next cell."""
    from kdrun import progress
    from kdrun.config.compose import to_config
    from kdrun.config.validation.rules import validate
    from kdrun.data.file_checks import check_run_files
    from kdrun.experiments import student_alone
    from kdrun.experiments.sweeps import resolve_cell

    console, config = verbosity.run_console(), to_config(composed)
    is_cell = config.sweep is not None and not config.dry_run
    try:
        problems = validate(config)
        if problems:
            raise ConfigError(problems)
        check_run_files(config)
        remaining = resolve_cell(config, console) if is_cell else config
        if remaining is not None:
            with progress.show_on(console), progress.track("loading PyTorch and transformers"):
                from kdrun.runs import runner

            recorded = [override for override in overrides if not override.startswith(("sweep=", "retry="))]
            result = runner.run(remaining, console, recorded)
            if result is not None and verbosity.is_quiet():
                sys.stdout.write(f"{verbosity.score_line(result)}\n")
            elif result is not None and student_alone.applies(config):
                distilled.append((config, recorded, result))
    except RECOVERABLE_ERRORS as error:
        user_error = (
            as_path_error(error) if isinstance(error, OSError) else error if isinstance(error, KdrunError) else None
        )
        show_traceback = config.debug or verbosity.is_verbose() or os.environ.get("HYDRA_FULL_ERROR") == "1"
        if show_traceback or (user_error is None and not is_cell):
            raise
        if is_cell and isinstance(error, BusyError):
            console.print(f"skipped, already running in another process: {error.problems[0]}")
            return
        console.error(f"{type(error).__name__}: {error}" if user_error is None else str(user_error))
        exit_codes.append(1 if user_error is None else user_error.code)
    except KeyboardInterrupt as stop:
        console.error("interrupted; recorded in the ledger")
        exit_codes.append(signals.exit_code(stop))
        if SUBMITIT_JOB in os.environ:  # ends the job without a result, and its log without a traceback
            sys.exit(signals.exit_code(stop))
        if config.sweep is not None:
            raise
