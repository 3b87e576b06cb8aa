"""The `kdrun` command: parse flags, then run, sweep or call a subcommand."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import TYPE_CHECKING

from kdrun import __version__
from kdrun.cli import subcommands
from kdrun.errors import RECOVERABLE_ERRORS, BusyError, ConfigError, KdrunError, as_path_error, did_you_mean

if TYPE_CHECKING:
    from omegaconf import DictConfig

USAGE = """\
kdrun {version}: knowledge distillation of language models, composed from configs

  kdrun method=kd task=sst2                 one run: teacher, student, evaluation (embedded data, tiny models)
  kdrun -m method=finetune,kd seed=1,2      a sweep: every combination, one table at the end; repeated, it does
                                            what is left of it (with retry=true what failed, too)
  kdrun resume=RUN_FOLDER                   go on with a run that was stopped, as if it had not been
  kdrun dry_run=true …                      build everything, one step of each turn, stop
  kdrun --cfg job …                         print the composed config and stop

Verbs (kdrun VERB --help says more)
{verbs}

Choices
{choices}

Any value can be set by its key: optim.lr=1e-3 method.temperature=4 seed=2 run_dir=PATH
Real data: data=folder data.dir=PATH reads the GLUE folder layout; data=hub reads nyu-mll/glue.
offline=true opens no socket, and says which file is missing where.
"""
FLAGS = {"-m": "multirun", "--multirun": "multirun", "-h": "help", "--help": "help", "--version": "version"}

_exit_codes: list[int] = []


def main() -> None:
    """The console script."""
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def run(words: list[str]) -> int:
    """Carry out a command line.

    Returns:
        The exit code: 0 done, 1 a run failed, 2 the command line or config is wrong, 130 interrupted.
    """
    try:
        if words and words[0] in subcommands.COMMANDS:
            return subcommands.run_command(words[0], words[1:])
        if words and "=" not in words[0] and not words[0].startswith(("-", "~")):
            known = list(subcommands.COMMANDS)
            hint = f"{did_you_mean(words[0], known)} (verbs: {', '.join(known)}; a run takes key=value)"
            raise ConfigError([f"unknown verb {words[0]!r}{hint}"])
        flags, overrides, unknown = _split(words)
        if unknown:
            known = "flags are -m, --help, --version, --cfg job"
            raise ConfigError([f"unknown flag {word}; {known}" for word in unknown])
        if "help" in flags:
            sys.stdout.write(help_text())
        elif "version" in flags:
            sys.stdout.write(f"kdrun {__version__}\n")
        else:
            return _train(overrides, multirun="multirun" in flags, show="cfg" in flags)
    except KdrunError as error:
        return _print_error(error)
    except OSError as error:
        if (told := as_path_error(error)) is None:
            raise
        return _print_error(told)
    except KeyboardInterrupt as stop:
        sys.stderr.write("interrupted\n")
        return getattr(stop, "code", 130)
    return 0


def _split(words: list[str]) -> tuple[set[str], list[str], list[str]]:
    """Flags, overrides, and what is neither."""
    flags, overrides, unknown, rest = set(), [], [], list(words)
    while rest:
        word = rest.pop(0)
        if word in FLAGS:
            flags.add(FLAGS[word])
        elif word in ("--cfg", "-c"):
            flags.add("cfg")
            if rest and rest[0] == "job":
                rest.pop(0)
        elif word.startswith("-"):
            unknown.append(word)
        else:
            overrides.append(word)
    return flags, overrides, unknown


def help_text() -> str:
    """Usage with every choice of every axis."""
    from kdrun.config import compose

    lines = [
        f"  {group:<11}{', '.join(compose.choices(group))}" for group in compose.groups() if compose.choices(group)
    ]
    told = [f"  {verb:<11}{line}" for verb, (_, line) in subcommands.COMMANDS.items()]
    return USAGE.format(version=__version__, verbs="\n".join(told), choices="\n".join(lines))


def _print_error(error: KdrunError) -> int:
    sys.stderr.write(f"error: {error}\n")
    return error.code


def _train(overrides: list[str], *, multirun: bool, show: bool) -> int:
    from kdrun.config import compose
    from kdrun.runs import resume

    if show and multirun:
        raise ConfigError(["--cfg job shows the config of one run; leave out -m and name one value of each key"])
    overrides = subcommands.current_overrides(resume.expand_resume(overrides))
    problems = compose.validate_overrides(overrides, multirun=multirun)
    if problems:
        raise ConfigError(problems)
    if show:
        from omegaconf import OmegaConf

        sys.stdout.write(OmegaConf.to_yaml(compose.compose(overrides)))
        return 0
    if multirun:
        return _sweep(overrides)
    _hydra(overrides)
    return max(_exit_codes, default=0)


def _sweep(overrides: list[str]) -> int:
    """Carry out what is left of a sweep; one table of all its cells, whichever process ran them."""
    from kdrun.config.overrides import quote_path
    from kdrun.console import Console
    from kdrun.experiments import sweeps

    sweep, console = sweeps.plan_sweep(overrides), Console()
    if sweep is None:
        _hydra(["-m", *overrides])
        return max(_exit_codes, default=0)
    counts = Counter(cell["status"] for cell in sweeps.cell_statuses(sweep))
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    console.print(f"sweep {sweep.name}: {told}; see it any time: {sweep.command}")
    words = [word for word in overrides if not word.startswith("sweep=")] + [f"sweep={sweep.name}"]
    if not any(word.startswith("hydra.sweep.dir=") for word in words):
        words.append(f"hydra.sweep.dir={quote_path(sweep.folder)}")
    try:
        _hydra(["-m", *words])
    except SystemExit:  # of Hydra, which has shown what kdrun does not know, after it carried out the other cells
        _exit_codes.append(1)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on from here")
        raise
    found = sweeps.cell_statuses(sweep)
    sweeps.print_sweep(sweep, found, console)
    return max(_exit_codes, default=0) or int(any(cell["status"] not in ("done", "running") for cell in found))


def _hydra(words: list[str]) -> None:
    """Hand over to Hydra, which composes again and launches one job, or one a cell of the sweep."""
    import hydra

    from kdrun.config.compose import register_schemas
    from kdrun.config.paths import CONF_DIR

    register_schemas()
    _exit_codes.clear()
    before = sys.argv
    sys.argv = ["kdrun", *words]
    try:
        hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="config")(hydra_job)()
    finally:
        sys.argv = before


def hydra_job(composed: DictConfig) -> None:
    """One run. What a user can mend is shown as a message; a sweep goes on with its next cell."""
    from hydra.core.hydra_config import HydraConfig

    from kdrun.config.compose import to_config
    from kdrun.config.validation.rules import validate
    from kdrun.console import Console
    from kdrun.experiments.sweeps import resolve_cell
    from kdrun.runs import runner

    console, config = Console(), to_config(composed)
    is_cell, words = config.sweep is not None and not config.dry_run, HydraConfig.get().overrides.task
    try:
        problems = validate(config)
        if problems:
            raise ConfigError(problems)
        left = resolve_cell(config, console) if is_cell else config
        if left is not None:
            runner.run(left, console, [word for word in words if not word.startswith(("sweep=", "retry="))])
    except RECOVERABLE_ERRORS as error:
        told = as_path_error(error) if isinstance(error, OSError) else error if isinstance(error, KdrunError) else None
        if config.debug or os.environ.get("HYDRA_FULL_ERROR") == "1" or (told is None and not is_cell):
            raise
        if is_cell and isinstance(error, BusyError):
            console.print(f"left to the process that has it: {error.problems[0]}")
            return
        console.error(f"{type(error).__name__}: {error}" if told is None else str(told))
        _exit_codes.append(1 if told is None else told.code)
    except KeyboardInterrupt as stop:
        console.error("interrupted; the ledger says so")
        _exit_codes.append(getattr(stop, "code", 130))
        if config.sweep is not None:
            raise
