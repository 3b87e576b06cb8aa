"""The arms of a comparison: their configs, runs and results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kdrun import registry
from kdrun.config import compose, domains
from kdrun.config.identity import config_hash
from kdrun.config.schema import RunConfig
from kdrun.console import Console, QuietConsole
from kdrun.errors import RECOVERABLE_ERRORS, ConfigError
from kdrun.experiments import reuse
from kdrun.methods.phases import num_steps
from kdrun.runs.provenance import code_digest
from kdrun.storage.ledger import LEDGER, Status, finished, read_runs
from kdrun.storage.run_result import RESULT, RunResult, read_result

if TYPE_CHECKING:
    from kdrun.data.dataset import TaskDataset

STOPPED = (Status.interrupted, Status.crashed)


@dataclass
class Arm:
    """One setting of a comparison: a method, or a method with one of the values of a key that takes several.

    Attributes:
        name: what it is called; no two arms have one name.
        method: its registered method.
        words: overrides of its runs, without seed.
        swept: the one of its words in which it differs from the method's other arms; empty where it is the only one.
        left_out: what of the comparison's words its method refused, and why, as sentences; said at its first arm.
        data_hash: fingerprint of the rows its runs read.
        results: seed → result.json of its finished run.
        folders: seed → run folder.
        failed: seed → error text.
    """

    name: str
    method: str
    words: list[str]
    swept: str = ""
    left_out: list[str] = field(default_factory=list)
    data_hash: str = ""
    results: dict[int, RunResult] = field(default_factory=dict)
    folders: dict[int, Path] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    def config(self, seed: int) -> RunConfig:
        """The config of its run with a seed."""
        return compose.to_config(compose.compose([*self.words, f"seed={seed}"]))

    @property
    def is_data_free(self) -> bool:
        """Whether its method learns from out-of-domain text."""
        return registry.get("method", self.method).target.requires.data_free


def load_rows(arms: list[Arm]) -> TaskDataset:
    """Read the rows of every arm, those that arms have in common once, and note each arm's `data_hash`.

    Returns:
        The rows that a budget in epochs counts on: the task's own, or the generated ones that all arms learn from.

    Raises:
        ConfigError: arms report on different rows, so that their scores cannot be compared.
    """
    from kdrun.data import run_data

    known: dict[str, TaskDataset] = {}
    reported: dict[str, list[str]] = {}
    for arm in arms:
        config = arm.config(1)
        read = reuse.data_identity(config)
        if read not in known:
            known[read] = run_data.load_run_data(config)
        data, split = known[read], config.task.report_split
        arm.data_hash = data.fingerprint
        rows = f"{data.splits[split].num_rows} rows of {data.display_name}, {split}"
        reported.setdefault(f"{split} {data.splits[split].fingerprint}", [rows]).append(arm.name)
    if len(reported) > 1:
        told = "; ".join(f"{', '.join(names)}: {rows}" for rows, *names in reported.values())
        raise ConfigError(
            [
                f"these arms report on different rows, so none beats another ({told}); give all one method.domain, and "
                "leave out methods that cannot have it (baselines=[] leaves out the baselines)"
            ]
        )
    own = next((data for data in known.values() if data.ood is None), None)
    return own or run_data.load_task_data(arms[0].config(1))


def equalize_budgets(arms: list[Arm], rows: int, by_domain: Mapping[str, int] | None = None) -> None:
    """Give all arms the same number of student steps.

    Epochs of a data-free method pass over generated or corpus text. Its default checkpoint is the last one; the default
    of other methods is the best on dev. A per-domain method trains one student per domain, on the rows of that domain.
    Every arm takes the student steps of the largest budget on the task's rows, summed over domains. If one arm is
    data-free, all arms use the last checkpoint, unless `checkpoint_selection` is set.

    Args:
        arms: get more words.
        rows: number of the task's training rows.
        by_domain: how many of them each domain has; empty for a task without domains.

    Raises:
        ConfigError: the arms are there to differ in their number of steps.
    """
    configs = [arm.config(1) for arm in arms]
    split = [domains.is_per_domain(config.method) for config in configs]
    has_data_free = any(arm.is_data_free for arm in arms)
    if not has_data_free and (all(split) or not any(split)):
        return
    steps = max(_budget(config, rows, by_domain or {}) for config in configs)
    students = len(by_domain or {}) if any(split) else 1
    each = -(-steps // students)  # rounded up, so that a sum over domains is possible
    varied = {arm.swept for arm in arms if arm.swept.startswith(("optim.steps=", "optim.epochs="))}
    if len(varied) > 1:
        reason = "one of the methods counts its steps on other rows, so all arms get one budget"
        raise ConfigError([f"{', '.join(sorted(varied))}: {reason}; take one value"])
    for arm, config, is_split in zip(arms, configs, split, strict=True):
        arm.words.append(f"optim.steps={each if is_split else each * students}")
        if has_data_free and config.checkpoint_selection is None:
            arm.words.append("checkpoint_selection=last")


def _budget(config: RunConfig, rows: int, by_domain: Mapping[str, int]) -> int:
    """Student steps of a run on the task's rows, over all its students."""
    if not domains.is_per_domain(config.method):
        return num_steps(config.optim, rows)
    share = config.data.train_fraction or 1
    return sum(num_steps(config.optim, max(1, round(share * count))) for count in by_domain.values())


def run_missing(arms: list[Arm], seeds: list[int], console: Console) -> None:
    """Reuse finished runs and run the missing ones, seed by seed, so that an interrupted comparison stays balanced.

    A finished run is reused if config, code and data are equal, since a repetition would give the same numbers. A
    stopped or killed run resumes from its last checkpoint. A failed run is recorded and the comparison continues.
    """
    from kdrun.runs import runner

    quiet = QuietConsole(console.rich)
    for seed in seeds:
        for arm in arms:
            config = arm.config(seed)
            output_dir, key = Path(config.output_dir), (config_hash(config), code_digest(), arm.data_hash)
            there = reuse.find_run(output_dir, key)
            if there is not None and there.status is Status.done:
                folder = there.folder
                console.print(f"{arm.name}, seed {seed}: taken from {folder}")
            else:
                # one that failed would fail again in its folder
                begun = there.folder if there is not None and there.status in STOPPED else None
                console.print(f"{arm.name}, seed {seed}: {'runs' if begun is None else f'goes on in {begun}'}")
                config = config if begun is None else replace(config, run_dir=str(begun))
                try:
                    runner.run(config, quiet, [*arm.words, f"seed={seed}"])
                except RECOVERABLE_ERRORS as error:
                    arm.failed[seed] = f"{type(error).__name__}: {error}"
                    console.error(f"{arm.name}, seed {seed}: {error}")
                    continue
                folder = finished(read_runs(output_dir / LEDGER))[key]
            arm.results[seed] = read_result(folder / RESULT)
            arm.folders[seed] = folder
