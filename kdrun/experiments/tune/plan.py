"""Plan a search from its options and overrides.

This module imports without torch and without Optuna.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kdrun.config import compose
from kdrun.config.identity import NON_IDENTITY_KEYS
from kdrun.config.overrides import key_of, override_values, parse_override
from kdrun.config.schema import RunConfig
from kdrun.errors import ConfigError, DataError, Problem
from kdrun.experiments import sweeps
from kdrun.experiments.sweep_record import FOLDER, load
from kdrun.experiments.tune.space import Space
from kdrun.experiments.tune.space_checks import read_space
from kdrun.runs.provenance import code_digest
from kdrun.storage.hashing import digest
from kdrun.storage.run_record import code_difference
from kdrun.storage.search_record import SEARCH, read_search

RESERVED_KEYS = {
    "run_dir": "every trial has a separate folder; output_dir=… names the folder above",
    "dry_run": "to try a run without training use kdrun check",
    "retry": "a failed trial stays failed; a new search with sweep=NAME tries its values again",
    "student_alone": "kdrun compare method=… compares with the same student without a teacher",
}
"""Keys that a search sets in its runs → why they cannot be overridden."""


def check_installed() -> None:
    """Check that the package of the extra `tune` is installed.

    Raises:
        ConfigError: it is missing.
    """
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError(["kdrun tune needs optuna: pip install 'kdrun[tune]'"])


@dataclass(frozen=True)
class SearchPlan:
    """A search before its first trial.

    Attributes:
        name: name of its sweep.
        folder: folder of its records and its cells.
        overrides: overrides of all runs, without the seed.
        config: config of the runs with the default values.
        space: keys and ranges.
        trials: number of trials over all processes.
        seed: of the sampler and of the runs of all trials.
        prune: whether trials may be pruned.
        command: command line.
    """

    name: str
    folder: Path
    overrides: list[str]
    config: RunConfig
    space: Space
    trials: int
    seed: int
    prune: bool
    command: str

    @property
    def split(self) -> str:
        """The split whose score is searched for: the one that chooses checkpoints."""
        return self.config.task.dev_splits[0]

    @property
    def metric(self) -> str:
        """The metric whose score is searched for."""
        return self.config.task.headline

    @property
    def trial_overrides(self) -> list[str]:
        """Overrides of the runs of all trials; further labeled splits are not scored in them."""
        extra = ["evaluation.extra=[]"] if self.config.evaluation.extra else []
        rest = [override for override in self.overrides if not (extra and key_of(override) == "evaluation.extra")]
        return [*rest, *extra, f"seed={self.seed}"]


def plan_search(
    overrides: Sequence[str],
    space: str | None,
    *,
    trials: int,
    seed: int = 1,
    prune: bool = True,
    name: str | None = None,
    command: str = "",
) -> SearchPlan:
    """Check a search, and compare it with the recorded one of the same name.

    Args:
        overrides: of the runs.
        space: as for `read_space`.
        trials: number of trials.
        seed: of the sampler and the runs.
        prune: whether trials may be pruned.
        name: of the search; None derives one from everything that decides its trials.
        command: command line, for the record.

    Raises:
        ConfigError: every problem of the overrides and the space, or the recorded search has other settings.
    """
    problems = _problems(overrides, name)
    try:
        refused = {problem.key for problem in problems}
        searched = read_space(space, [override for override in overrides if key_of(override) not in refused])
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from None
    if problems:
        raise ConfigError(problems)
    config = compose.to_config(compose.compose([*overrides, f"seed={seed}"]))
    base = sorted(o for o in overrides if key_of(o).partition(".")[0] not in NON_IDENTITY_KEYS)
    if name is None:
        name = f"tune-{config.method.name}-{config.task.name}-{digest([base, dict(searched.texts), seed, prune])[:6]}"
    folder = Path(config.output_dir) / FOLDER / name
    plan = SearchPlan(name, folder, list(overrides), config, searched, trials, seed, prune, command)
    _check_same_search(plan, base)
    return plan


def _problems(overrides: Sequence[str], name: str | None) -> list[Problem]:
    problems = []
    for override in overrides:
        key, parsed = key_of(override), parse_override(override)
        if key in RESERVED_KEYS:
            problems.append(Problem(key, override.partition("=")[2], f"{override}: {RESERVED_KEYS[key]}"))
        elif not isinstance(parsed, str) and parsed.is_sweep_override():
            values = ", ".join(override_values(parsed))
            remedy = f"write {key}: choice[{values}] in space, or name one value"
            problems.append(Problem(key, values, f"{override}: a search draws several values from its space; {remedy}"))
    if name is not None and not sweeps.NAME.fullmatch(name):
        problems.append(Problem("sweep", name, f"sweep={name}: {sweeps.NAME_RULE}"))
    return problems


def _check_same_search(plan: SearchPlan, base: list[str]) -> None:
    """Check that the recorded search of this name has the same settings and code; more trials are allowed.

    Raises:
        ConfigError: it has not, or the folder belongs to a sweep.
    """
    sweep = load(plan.folder)
    if not (plan.folder / SEARCH).is_file():
        if sweep is not None:
            raise ConfigError([f"sweep={plan.name}: {plan.folder} is the folder of a sweep; choose another name"])
        return
    try:
        before = read_search(plan.folder)
    except DataError as error:
        raise ConfigError([f"{error}; start a new search with sweep=NAME"]) from None
    old_base = sorted(o for o in before["overrides"] if key_of(o).partition(".")[0] not in NON_IDENTITY_KEYS)
    differences = [
        f"{name} was {old}, now it is {new}"
        for name, old, new in (
            ("the space", before["space"], dict(plan.space.texts)),
            ("seed", before["seed"], plan.seed),
            ("prune", before["prune"], plan.prune),
            ("the overrides", old_base, base),
        )
        if old != new
    ]
    differences += code_difference(before["code"], code_digest())
    if differences:
        problem = (
            f"search {plan.name} in {plan.folder} was started with different settings, so its trials are not "
            "comparable; repeat its command, or start a new one with sweep=NAME"
        )
        raise ConfigError([problem, *differences])
