"""The `kdrun` command: parse flags, then run, sweep or call a subcommand."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from kdrun import signals
from kdrun.cli import completion, config_folders, subcommands, verbosity
from kdrun.cli.launcher_folder import check_launcher_folder
from kdrun.errors import RECOVERABLE_ERRORS, BusyError, ConfigError, KdrunError, as_path_error, did_you_mean
from kdrun.formatting import escape_control
from kdrun.version import __version__

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from kdrun.config.schema import RunConfig
    from kdrun.experiments.sweeps import Sweep
    from kdrun.storage.run_result import RunResult

USAGE = """\
kdrun {version}: knowledge distillation of language models, composed from configs

  kdrun method=kd task=sst2                 one run: teacher, student, evaluation (embedded data, tiny models)
  kdrun -m method=finetune,kd seed=1,2      a sweep: every combination, one table at the end; repeat the command to
                                            resume it (retry=true also repeats failed runs)
  kdrun resume RUN_DIR                      resume a stopped run; the result is the same as without the stop
  kdrun config=RUN_DIR/config.yaml seed=2   start a run from a saved config, with overrides
  kdrun dry_run=true …                      build everything, run one step of each turn, stop
  kdrun --cfg job …                         print the composed config and stop
  kdrun --config-dir DIR …                  also take choices from DIR/task/NAME.yaml, DIR/preset/NAME.yaml, …
                                            (or set KDRUN_CONF=DIR)
  kdrun --install-completion                print the line that turns on completion in bash, zsh or fish
  kdrun -q …                                print warnings and one line per run; -v: debug messages too

Subcommands (details: kdrun SUBCOMMAND --help)
{subcommands}

Choices
{choices}

Set any value by its key: optim.lr=1e-3 method.temperature=4 seed=2 run_dir=PATH
Real data: data=folder data.dir=PATH reads the GLUE folder layout; data=hub reads nyu-mll/glue.
Your own:  task=own data=files data.train=FILE data.dev=0.1 reads CSV, TSV, JSON lines or Parquet.
offline=true opens no socket; an error names any file that is missing.
"""
START = "Start with: kdrun method=kd task=sst2   (a minute or two on a CPU; no download)\n"
FLAGS = {"-m": "multirun", "--multirun": "multirun", "-h": "help", "--help": "help", "--version": "version"}

_exit_codes: list[int] = []
_distilled: list[tuple[RunConfig, list[str], RunResult]] = []
"""Finished runs to compare with the same student without a teacher; Hydra cannot compose configs inside its job."""


def main() -> None:
    """The console script."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell, as with `>&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


@config_folders.folders_of_one_command()
def run(args: list[str]) -> int:
    """Run a command line.

    Returns:
        The exit code: 0 done, 1 a run failed, 2 the command line or config is wrong, 130 interrupted.
    """
    try:
        _check_working_directory()
        args = config_folders.take_config_folders(verbosity.take_verbosity(args))
        if args and args[0] in completion.FLAGS:
            return completion.main(args)
        args = subcommands.expand_shorthands(args)
        if args and args[0] in subcommands.COMMANDS:
            return subcommands.run_command(args[0], args[1:])
        if args and "=" not in args[0] and not args[0].startswith(("-", "~")):
            names = [*subcommands.COMMANDS, "help", "resume"]
            hint = f"{did_you_mean(args[0], names)} (subcommands: {', '.join(names)}; a run takes key=value)"
            raise ConfigError([f"unknown subcommand {args[0]!r}{hint}"])
        flags, overrides, unknown = _split(args)
        if unknown:
            allowed = "flags are -m, -q, -v, --help, --version, --cfg job, --config-dir DIR, --install-completion"
            raise ConfigError([f"unknown flag {flag}; {allowed}" for flag in unknown])
        if "help" in flags:
            sys.stdout.write(help_text())
        elif not overrides and flags <= {"multirun"} and "version" not in flags:
            sys.stdout.write(f"{help_text()}\n{START}")
        elif "version" in flags:
            sys.stdout.write(f"kdrun {__version__}\n")
        else:
            return _train(overrides, multirun="multirun" in flags, show="cfg" in flags)
    except KdrunError as error:
        return _print_error(error)
    except OSError as error:
        if (path_error := as_path_error(error)) is None:
            raise
        return _print_error(path_error)
    except KeyboardInterrupt as stop:
        sys.stderr.write("interrupted\n")
        return signals.exit_code(stop)
    return 0


def _check_working_directory() -> None:
    """Check that the working directory still exists.

    Raises:
        ConfigError: it was deleted.
    """
    try:
        os.getcwd()
    except FileNotFoundError:
        raise ConfigError(["the working directory was deleted; change to an existing folder with cd"]) from None


def _split(args: list[str]) -> tuple[set[str], list[str], list[str]]:
    """Flags, overrides and unknown flags."""
    flags, overrides, unknown, rest = set(), [], [], list(args)
    while rest:
        arg = rest.pop(0)
        if arg in FLAGS:
            flags.add(FLAGS[arg])
        elif arg in ("--cfg", "-c"):
            flags.add("cfg")
            if rest and rest[0] == "job":
                rest.pop(0)
        elif arg.startswith("-"):
            unknown.append(arg)
        else:
            overrides.append(arg)
    return flags, overrides, unknown


def help_text() -> str:
    """Usage with every choice of every axis."""
    from kdrun.config import compose, user_configs

    lines = [
        f"  {group:<11}{', '.join(user_configs.mark(group, compose.choices(group)))}"
        for group in compose.groups()
        if compose.choices(group)
    ]
    commands = [f"  {name:<11}{line}" for name, (_, line) in subcommands.COMMANDS.items()]
    return USAGE.format(version=__version__, subcommands="\n".join(commands), choices="\n".join(lines))


def _print_error(error: KdrunError) -> int:
    sys.stderr.write(f"error: {escape_control(str(error))}\n")
    return error.code


def _train(overrides: list[str], *, multirun: bool, show: bool) -> int:
    from kdrun import progress
    from kdrun.config import compose
    from kdrun.console import Console
    from kdrun.runs import resume

    if show and multirun:
        raise ConfigError(["--cfg job shows the config of one run; leave out -m and name one value of each key"])
    overrides = subcommands.current_overrides(resume.expand_resume(overrides))
    with progress.show_on(Console()), progress.track("checking the config"):
        problems = compose.validate_overrides(overrides, multirun=multirun)
    if problems:
        raise ConfigError(problems)
    if show:
        sys.stdout.write(compose.composed_text(overrides))
        return 0
    if multirun:
        return _sweep(overrides)
    _hydra(overrides)
    _compare_with_student_alone()
    return max(_exit_codes, default=0)


def _compare_with_student_alone() -> None:
    from kdrun.experiments import student_alone

    for config, overrides, result in _distilled:
        try:
            student_alone.train_and_print(config, overrides, result, verbosity.run_console())
        except KeyboardInterrupt as stop:
            _exit_codes.append(signals.exit_code(stop))


def _sweep(overrides: list[str]) -> int:
    """Run the remaining cells of a sweep and print one table of all its cells."""
    from kdrun.config.overrides import quote_value
    from kdrun.experiments import sweeps
    from kdrun.experiments.sweep_display import print_sweep

    sweep, console = sweeps.plan_sweep(overrides), verbosity.run_console()
    if sweep is None:
        _hydra(["-m", *overrides])
        return max(_exit_codes, default=0)
    counts = Counter(cell["status"] for cell in _requested_cells(sweep))
    statuses = ", ".join(f"{count} {status}" for status, count in counts.items())
    num_others = len(sweep.cells) - len(sweep.requested)
    others = f" ({num_others} more from earlier commands; sweep=NAME keeps sweeps apart)" if num_others else ""
    console.print(f"sweep {sweep.name}: {statuses}{others}; to list its cells: {sweep.command}")
    overrides = [override for override in overrides if not override.startswith("sweep=")] + [f"sweep={sweep.name}"]
    if not any(override.startswith("hydra.sweep.dir=") for override in overrides):
        overrides.append(f"hydra.sweep.dir={quote_value(str(sweep.folder))}")
    try:
        _hydra(["-m", *overrides])
    except SystemExit:  # raised by Hydra after the other cells, once it has printed an error that kdrun does not handle
        _exit_codes.append(1)
    except KeyboardInterrupt:
        console.print("stopped; repeat the command to resume")
        raise
    cells = _requested_cells(sweep)
    print_sweep(sweep, cells, console)
    return max(_exit_codes, default=0) or int(any(cell["status"] not in ("done", "running") for cell in cells))


def _requested_cells(sweep: Sweep) -> list[dict[str, Any]]:
    """Statuses of the cells of this command line, without those that earlier ones added."""
    from kdrun.experiments import sweeps

    return [cell for cell in sweeps.cell_statuses(sweep) if cell["cell"] in sweep.requested]


def _hydra(args: list[str]) -> None:
    """Let Hydra compose and launch one job, or one job per cell of a sweep."""
    import hydra

    from kdrun.config.compose import register_schemas, register_user_choices
    from kdrun.config.paths import CONF_DIR

    register_schemas()
    register_user_choices()
    if "-m" in args:
        check_launcher_folder(args)
    _exit_codes.clear()
    _distilled.clear()
    original_argv = sys.argv
    sys.argv = ["kdrun", *args]
    try:
        hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="config")(hydra_job)()
    finally:
        sys.argv = original_argv


def hydra_job(composed: DictConfig) -> None:
    """Run one composed config. An error that the user can fix is printed, and a sweep continues with the next cell."""
    from hydra.core.hydra_config import HydraConfig

    from kdrun import progress
    from kdrun.config.compose import to_config
    from kdrun.config.validation.rules import validate
    from kdrun.data.file_checks import check_run_files
    from kdrun.experiments import student_alone
    from kdrun.experiments.sweeps import resolve_cell

    console, config = verbosity.run_console(), to_config(composed)
    is_cell, overrides = config.sweep is not None and not config.dry_run, HydraConfig.get().overrides.task
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
                _distilled.append((config, recorded, result))
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
        _exit_codes.append(1 if user_error is None else user_error.code)
    except KeyboardInterrupt as stop:
        console.error("interrupted; recorded in the ledger")
        _exit_codes.append(signals.exit_code(stop))
        if config.sweep is not None:
            raise
