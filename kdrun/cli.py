"""The `kdrun` command. Help and config errors come without importing torch."""

from __future__ import annotations

import os
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

from kdrun import __version__, verbs
from kdrun.errors import ConfigError, KdrunError, nearest, of_place

if TYPE_CHECKING:
    from omegaconf import DictConfig

USAGE = """\
kdrun {version}: knowledge distillation of language models, composed from configs

  kdrun method=kd task=sst2                 one run: teacher, student, evaluation (embedded data, tiny models)
  kdrun -m method=finetune,kd seed=1,2      a sweep: every combination, one table at the end
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
        if words and words[0] in verbs.VERBS:
            return verbs.run(words[0], words[1:])
        if words and "=" not in words[0] and not words[0].startswith(("-", "~")):
            known = list(verbs.VERBS)
            hint = f"{nearest(words[0], known)} (verbs: {', '.join(known)}; a run takes key=value)"
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
        return _complain(error)
    except OSError as error:
        if (told := of_place(error)) is None:
            raise
        return _complain(told)
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
    from kdrun import compose

    lines = [
        f"  {group:<11}{', '.join(compose.options(group))}" for group in compose.groups() if compose.options(group)
    ]
    told = [f"  {verb:<11}{line}" for verb, (_, line) in verbs.VERBS.items()]
    return USAGE.format(version=__version__, verbs="\n".join(told), choices="\n".join(lines))


def _complain(error: KdrunError) -> int:
    sys.stderr.write(f"error: {error}\n")
    return error.code


def _train(overrides: list[str], *, multirun: bool, show: bool) -> int:
    from kdrun import compose, resume

    if show and multirun:
        raise ConfigError(["--cfg job shows the config of one run; leave out -m and name one value of each key"])
    overrides = resume.expand(overrides)
    problems = compose.check_overrides(overrides, multirun=multirun)
    if problems:
        raise ConfigError(problems)
    if show:
        from omegaconf import OmegaConf

        sys.stdout.write(OmegaConf.to_yaml(compose.compose(overrides)))
        return 0
    sweep = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}" if multirun else None
    _hydra(overrides, sweep)
    if sweep is not None:
        return _sweep_table(overrides, sweep)
    return max(_exit_codes, default=0)


def _hydra(overrides: list[str], sweep: str | None) -> None:
    """Hand over to Hydra, which composes again and launches one job, or one a cell of the sweep."""
    import hydra

    from kdrun.compose import CONF_DIR, register_schemas

    register_schemas()
    _exit_codes.clear()
    before = sys.argv
    sys.argv = ["kdrun", *(["-m"] if sweep else []), *overrides, *([f"sweep={sweep}"] if sweep else [])]
    try:
        hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="config")(job)()
    finally:
        sys.argv = before


def job(composed: DictConfig) -> None:
    """One run. What a user can mend is shown as a message; a sweep goes on with its next cell."""
    from hydra.core.hydra_config import HydraConfig

    from kdrun import train
    from kdrun.compose import check, to_config
    from kdrun.screen import Screen

    screen, config = Screen(), to_config(composed)
    try:
        problems = check(config)
        if problems:
            raise ConfigError(problems)
        train.run(config, screen, [w for w in HydraConfig.get().overrides.task if not w.startswith("sweep=")])
    except (KdrunError, OSError) as error:
        told = of_place(error) if isinstance(error, OSError) else error
        if told is None or config.debug or os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        screen.error(str(told))
        _exit_codes.append(told.code)
    except KeyboardInterrupt as stop:
        screen.error("interrupted; the ledger says so")
        _exit_codes.append(getattr(stop, "code", 130))
        if config.sweep is not None:
            raise


def _sweep_table(overrides: list[str], sweep: str) -> int:
    """One table of all cells of a sweep, from the ledger, so that launchers with processes of their own count."""
    from pathlib import Path

    from kdrun import compose, results
    from kdrun.screen import Screen, number

    single = [word for word in overrides if word.startswith("output_dir=")]
    runs = results.read_ledger(Path(compose.load(single).output_dir), sweep)
    rows = []
    for cell, name in zip(runs, _cell_names(runs), strict=True):
        rows.append([name, *_cell_scores(cell, number), f"{cell.get('seconds', 0):.0f}", cell["status"]])
    note = ", synthetic data" if any(cell.get("synthetic") for cell in runs) else ""
    columns = ["run", "score", "teacher", "student", "kept", "seconds", "status"]
    Screen().table(f"sweep {sweep}{note}", columns, rows)
    return max(_exit_codes, default=0) or int(any(cell["status"] != "done" for cell in runs))


def _cell_names(runs: list[dict[str, Any]]) -> list[str]:
    """What each run was given that the others were not: the swept words of its command."""
    words = [cell["command"].split()[1:] for cell in runs]
    common = set.intersection(*map(set, words)) if len(words) > 1 else set()
    return [" ".join(word for word in cell if word not in common) for cell in words]


def _cell_scores(cell: dict[str, Any], number: Any) -> list[str]:
    if cell["status"] != "done":
        return ["n/a"] * 4
    metric, split = cell["headline"]["metric"], cell["headline"]["split"]
    top = cell["teacher"]["metrics"][split][metric] if cell["teacher"] else None
    kept = f"{100 * cell['retention']:.1f} %" if cell["retention"] is not None else "n/a"
    return [f"{split} {metric}", number(top), number(cell["student"]["metrics"][split][metric]), kept]
