"""The arms of a comparison: what each runs, which of its runs are there already, and running the others."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from kdrun import compose, registry
from kdrun.config import Config
from kdrun.errors import ConfigError, KdrunError, nearest
from kdrun.method import budgeted_steps
from kdrun.results import LEDGER, code_digest, config_hash, read_runs
from kdrun.screen import Quiet, Screen

SET_HERE = {
    "seed": "a comparison sets it: seeds=N runs seeds 1 … N",
    "run_dir": "every run of a comparison has a folder of its own; output_dir=… names the folder above",
    "sweep": "a comparison is not a sweep",
    "dry_run": "kdrun check tries a run out",
}
"""Keys of a run's config that a comparison decides."""
FAILURES = (KdrunError, RuntimeError, OSError)
"""What may end one run and leave the others worth running: KdrunError, out of memory, a full disk."""


@dataclass
class Arm:
    """One method of a comparison.

    Attributes:
        name: of the method.
        words: overrides of its runs, without seed.
        data_hash: fingerprint of the rows its runs read.
        results: seed → result.json of its finished run.
        folders: seed → run folder.
        failed: seed → error text.
    """

    name: str
    words: list[str]
    data_hash: str = ""
    results: dict[int, dict[str, Any]] = field(default_factory=dict)
    folders: dict[int, Path] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    def config(self, seed: int) -> Config:
        """The config of its run with a seed."""
        return compose.to_config(compose.compose([*self.words, f"seed={seed}"]))

    @property
    def is_data_free(self) -> bool:
        """Whether its method learns from out-of-domain text."""
        return registry.get("method", self.name).target.needs.data_free


def plan(methods: list[str], words: list[str]) -> list[Arm]:
    """The arms, each checked.

    An override of `method.KEY` goes to those arms whose method has that key; all else goes to every arm.

    Raises:
        ConfigError: with every problem found.
    """
    problems: list[str] = []
    shared, own = _sort_words(words, problems)
    known = registry.entries("method")
    for name in (name for name in methods if name not in known):
        problems.append(f"method={name}: unknown method{nearest(name, list(known))} (allowed: {', '.join(known)})")
    keys = {name: _keys(known[name].config) for name in methods if name in known}
    for key, word in own:
        if not any(key in mine for mine in keys.values()):
            all_keys = sorted({k for mine in keys.values() for k in mine})
            problems.append(f"{word}: no method compared here has {key}{nearest(key, all_keys)}")
    arms = []
    for name, mine in keys.items():
        arm = Arm(name, [f"method={name}", *shared, *(word for key, word in own if key in mine)])
        arms.append(arm)
        problems += [p for p in compose.check_overrides(arm.words, multirun=False) if p not in problems]
    problems = problems or _protocols(arms)
    if problems:
        raise ConfigError(problems)
    return arms


def _protocols(arms: list[Arm]) -> list[str]:
    """Arms that read the task by another protocol than the first, as sentences: their scores are of other rows."""
    first, *others = [(arm.name, arm.config(1).task) for arm in arms]
    told = {True: "by domain", False: "as a whole"}
    return [
        f"method={name} takes task={task.name} {told[task.is_by_domain]}, method={first[0]} takes it "
        f"{told[first[1].is_by_domain]}: they are scored on other rows; name methods and baselines= of one kind"
        for name, task in others
        if task.is_by_domain != first[1].is_by_domain
    ]


def _sort_words(words: list[str], problems: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Words for every arm, and `method.KEY` words with their key; what a comparison decides is a problem."""
    shared, own = [], []
    for word in words:
        key = word.partition("=")[0].lstrip("+")
        if key in SET_HERE:
            problems.append(f"{word}: {SET_HERE[key]}")
        elif _is_sweep(word):
            problems.append(f"{word}: a comparison takes one value of each key; only method= takes several")
        elif key.startswith("method."):
            own.append((key.removeprefix("method."), word))
        else:
            shared.append(word)
    return shared, own


def _is_sweep(word: str) -> bool:
    try:
        return OverridesParser.create().parse_override(word).is_sweep_override()
    except HydraException:
        return False  # compose says what is wrong with it


def _keys(schema: type | None) -> set[str]:
    return {item.name for item in dataclasses.fields(schema)} if schema is not None else set()


def make_even(arms: list[Arm], rows: int) -> None:
    """Give all arms one budget and one way to choose a checkpoint, where a data-free method is among others.

    Its epochs pass over other rows than theirs, and by itself its last checkpoint counts, theirs the best on dev.
    All take the steps that the largest budget of an arm comes to on the task's rows, and the last checkpoint counts;
    `optim.steps` and `select` on the command line say otherwise.

    Args:
        arms: get more words.
        rows: number of the task's training rows.
    """
    if not any(arm.is_data_free for arm in arms):
        return
    configs = [arm.config(1) for arm in arms]
    steps = max(budgeted_steps(config.optim, rows) for config in configs)
    for arm, config in zip(arms, configs, strict=True):
        arm.words.append(f"optim.steps={steps}")
        if config.select is None:
            arm.words.append("select=last")


Key = tuple[str, str, str]
"""What must be equal for one run to stand for another: config hash, code, data."""


def finished(output_dir: Path) -> dict[Key, Path]:
    """The folders of finished runs in an output folder whose predictions are still there; the newest of equals."""
    found = {}
    for run in read_runs(output_dir / LEDGER):
        folder = Path(run["run_dir"])
        if run["status"] == "done" and (folder / "predictions.jsonl").exists():
            made = run["provenance"]
            found[made["config_hash"], made.get("code", ""), made["data_hash"]] = folder
    return found


def complete(arms: list[Arm], seeds: list[int], screen: Screen) -> None:
    """Take up the runs that are there and make the others, seed by seed, so that a broken comparison is even.

    A run that is there counts when config, code and data are the same: made again it would give the same
    numbers. A run that fails is noted and the comparison goes on.
    """
    from kdrun import train

    quiet = Quiet(screen.console)
    for seed in seeds:
        for arm in arms:
            config = arm.config(seed)
            output_dir, key = Path(config.output_dir), (config_hash(config), code_digest(), arm.data_hash)
            folder = finished(output_dir).get(key)
            if folder is not None:
                screen.say(f"{arm.name}, seed {seed}: taken from {folder}")
            else:
                screen.say(f"{arm.name}, seed {seed}: runs")
                try:
                    train.run(config, quiet, [*arm.words, f"seed={seed}"])
                except FAILURES as error:
                    arm.failed[seed] = f"{type(error).__name__}: {error}"
                    screen.error(f"{arm.name}, seed {seed}: {error}")
                    continue
                folder = finished(output_dir)[key]
            arm.results[seed] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
            arm.folders[seed] = folder
