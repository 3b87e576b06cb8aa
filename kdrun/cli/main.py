"""The `kdrun` command: parse flags, then run, sweep or call a subcommand."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from kdrun import signals, stage_times
from kdrun.cli import completion, config_folders, jobs, subcommands, torchrun, verbosity
from kdrun.errors import ConfigError, KdrunError, as_path_error, did_you_mean
from kdrun.formatting import escape_control
from kdrun.version import __version__

if TYPE_CHECKING:
    from kdrun.console import Console
    from kdrun.experiments.sweeps import Sweep

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


def main() -> None:
    """The console script."""
    stage_times.begin_command()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell, as with `>&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    try:
        code = torchrun.run_in_first_process(run, sys.argv[1:])
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
    from kdrun.config.validation import machine
    from kdrun.console import Console
    from kdrun.runs import resume

    if show and multirun:
        raise ConfigError(["--cfg job shows the config of one run; leave out -m and name one value of each key"])
    overrides = subcommands.current_overrides(resume.expand_resume(overrides))
    with progress.show_on(Console()), progress.track("checking the config"):
        problems = [] if multirun else [*machine.repeated_run_problems()]
        problems += compose.validate_overrides(overrides, multirun=multirun)
    if problems:
        raise ConfigError(problems)
    if show:
        sys.stdout.write(compose.composed_text(overrides))
        return 0
    if multirun:
        return _sweep(overrides)
    jobs.run_one(overrides)
    _compare_with_student_alone()
    return max(jobs.exit_codes, default=0)


def _compare_with_student_alone() -> None:
    from kdrun.experiments import student_alone

    for config, overrides, result in jobs.distilled:
        try:
            student_alone.train_and_print(config, overrides, result, verbosity.run_console())
        except KeyboardInterrupt as stop:
            jobs.exit_codes.append(signals.exit_code(stop))


def _sweep(overrides: list[str]) -> int:
    """Run the remaining cells of a sweep and print one table of all its cells."""
    from kdrun.experiments import sweeps
    from kdrun.experiments.sweep_display import print_sweep

    sweep, console = sweeps.plan_sweep(overrides), verbosity.run_console()
    if sweep is None:
        jobs.run_hydra(overrides)
        return max(jobs.exit_codes, default=0)
    counts = Counter(cell["status"] for cell in _requested_cells(sweep))
    statuses = ", ".join(f"{count} {status}" for status, count in counts.items())
    num_others = len(sweep.cells) - len(sweep.requested)
    others = f" ({num_others} more from earlier commands; sweep=NAME keeps sweeps apart)" if num_others else ""
    console.print(f"sweep {sweep.name}: {statuses}{others}; to list its cells: {sweep.command}")
    overrides = [override for override in overrides if not override.startswith("sweep=")] + [f"sweep={sweep.name}"]
    launcher, run_overrides = jobs.split_launcher(overrides)
    if launcher:
        jobs.launch_cells(sweep, run_overrides, launcher, console)
    else:
        _run_cells(sweep, overrides, console)
    cells = _requested_cells(sweep)
    print_sweep(sweep, cells, console)
    return max(jobs.exit_codes, default=0) or int(any(cell["status"] not in ("done", "running") for cell in cells))


def _run_cells(sweep: Sweep, overrides: list[str], console: Console) -> None:
    """Run the cells one after the other in this process."""
    from kdrun.config.overrides import quote_value

    if not any(override.startswith("hydra.sweep.dir=") for override in overrides):
        overrides = [*overrides, f"hydra.sweep.dir={quote_value(str(sweep.folder))}"]
    try:
        jobs.run_hydra(overrides)
    except SystemExit:  # raised by Hydra after the other cells, once it has printed an error that kdrun does not handle
        jobs.exit_codes.append(1)
    except KeyboardInterrupt:
        console.print("stopped; repeat the command to resume")
        raise


def _requested_cells(sweep: Sweep) -> list[dict[str, Any]]:
    """Statuses of the cells of this command line, without those that earlier ones added."""
    from kdrun.experiments import sweeps

    return [cell for cell in sweeps.cell_statuses(sweep) if cell["cell"] in sweep.requested]
