"""The arms of a comparison: their configs, runs and results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from kdrun import progress, registry
from kdrun.config import compose, domains
from kdrun.config.identity import config_hash
from kdrun.config.schema import RunConfig
from kdrun.console import Console, QuietConsole
from kdrun.errors import RECOVERABLE_ERRORS, ConfigError
from kdrun.experiments import reuse
from kdrun.formatting import duration, percent
from kdrun.methods.phases import num_steps
from kdrun.runs.provenance import code_digest
from kdrun.storage.ledger import LEDGER, Status, finished, read_runs
from kdrun.storage.run_result import RESULT, RunResult, headline_score, read_result

if TYPE_CHECKING:
    from kdrun.data.dataset import TaskDataset

STOPPED = (Status.interrupted, Status.crashed)


@dataclass
class Arm:
    """One setting of a comparison: a method, or a method with one value of the swept key.

    Attributes:
        name: unique name.
        method: registered name of its method.
        overrides: overrides of its runs, without the seed.
        swept: the override that distinguishes it from the method's other arms; empty for the method's only arm.
        left_out: the overrides that its method refused, with the reason; only at the first arm of a method.
        data_hash: fingerprint of the rows that its runs read.
        results: seed → result.json of its finished run.
        folders: seed → run folder.
        failed: seed → error text.
    """

    name: str
    method: str
    overrides: list[str]
    swept: str = ""
    left_out: list[str] = field(default_factory=list)
    data_hash: str = ""
    results: dict[int, RunResult] = field(default_factory=dict)
    folders: dict[int, Path] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    def config(self, seed: int) -> RunConfig:
        """Config of the run with this seed."""
        return compose.to_config(compose.compose([*self.overrides, f"seed={seed}"]))

    @property
    def is_data_free(self) -> bool:
        """Whether the method learns from out-of-domain text."""
        return registry.get("method", self.method).target.requires.data_free


def load_rows(arms: list[Arm]) -> TaskDataset:
    """Read the rows of all arms, rows that arms share only once, and set each arm's `data_hash`.

    Returns:
        The rows on which a budget in epochs is counted: the task's rows, or the generated rows of all arms.

    Raises:
        ConfigError: the arms are evaluated on different rows, so their scores cannot be compared.
    """
    from kdrun.data import run_data

    datasets: dict[str, TaskDataset] = {}
    arms_by_rows: dict[str, list[str]] = {}
    for arm in arms:
        config = arm.config(1)
        key = reuse.data_identity(config)
        if key not in datasets:
            datasets[key] = run_data.load_run_data(config)
        data, split = datasets[key], config.task.report_split
        arm.data_hash = data.fingerprint
        rows = f"{data.splits[split].num_rows} rows of {data.display_name}, {split}"
        arms_by_rows.setdefault(f"{split} {data.splits[split].fingerprint}", [rows]).append(arm.name)
    if len(arms_by_rows) > 1:
        groups = "; ".join(f"{', '.join(names)}: {rows}" for rows, *names in arms_by_rows.values())
        raise ConfigError(
            [
                f"these arms are evaluated on different rows, so they cannot be compared ({groups}); use the same "
                "method.domain for all arms, and leave out methods that do not support it (baselines=[] leaves out "
                "the baselines)"
            ]
        )
    task_data = next((data for data in datasets.values() if data.ood is None), None)
    return task_data or run_data.load_task_data(arms[0].config(1))


def equalize_budgets(arms: list[Arm], rows: int, by_domain: Mapping[str, int] | None = None) -> None:
    """Give all arms the same number of student steps.

    Epochs of a data-free method pass over generated or corpus text. Its default checkpoint is the last one; the default
    of other methods is the best on dev. A per-domain method trains one student per domain, on the rows of that domain.
    Every arm takes the student steps of the largest budget on the task's rows, summed over domains. If one arm is
    data-free, all arms use the last checkpoint, unless `checkpoint_selection` is set.

    Args:
        arms: arms, whose overrides are extended.
        rows: number of the task's training rows.
        by_domain: number of these rows per domain; empty for a task without domains.

    Raises:
        ConfigError: the swept key is the number of steps or epochs.
    """
    configs = [arm.config(1) for arm in arms]
    per_domain = [domains.is_per_domain(config.method) for config in configs]
    has_data_free = any(arm.is_data_free for arm in arms)
    if not has_data_free and (all(per_domain) or not any(per_domain)):
        return
    steps = max(_budget(config, rows, by_domain or {}) for config in configs)
    num_students = len(by_domain or {}) if any(per_domain) else 1
    steps_per_student = -(-steps // num_students)  # rounded up, so that a sum over domains is possible
    swept_budgets = {arm.swept for arm in arms if arm.swept.startswith(("optim.steps=", "optim.epochs="))}
    if len(swept_budgets) > 1:
        reason = "one of the methods counts its steps on other rows, so all arms have the same budget"
        raise ConfigError([f"{', '.join(sorted(swept_budgets))}: {reason}; set one value"])
    for arm, config, is_per_domain in zip(arms, configs, per_domain, strict=True):
        arm.overrides.append(f"optim.steps={steps_per_student if is_per_domain else steps_per_student * num_students}")
        if has_data_free and config.checkpoint_selection is None:
            arm.overrides.append("checkpoint_selection=last")


def _budget(config: RunConfig, rows: int, by_domain: Mapping[str, int]) -> int:
    """Student steps of a run on the task's rows, over all its students."""
    if not domains.is_per_domain(config.method):
        return num_steps(config.optim, rows)
    fraction = config.data.train_fraction or 1
    return sum(num_steps(config.optim, max(1, round(fraction * count))) for count in by_domain.values())


def run_missing(
    arms: Sequence[Arm], seeds: Sequence[int], console: Console, clock: Callable[[], float] = time.monotonic
) -> None:
    """Reuse finished runs and run the missing ones, seed by seed, so that an interrupted comparison stays balanced.

    A finished run is reused if config, code and data are equal, since a repetition would give the same numbers. A
    stopped or killed run resumes from its last checkpoint. A failed run is recorded and the comparison continues. Each
    run that ends is printed with its score, its time, and the time that the others will take.

    Args:
        arms: arms, which receive the results.
        seeds: seeds of the runs.
        console: where to print.
        clock: seconds since any moment.
    """
    quiet, seconds = console if isinstance(console, QuietConsole) else QuietConsole(console.rich), list[float]()
    runs = [(seed, arm) for seed in seeds for arm in arms]
    for number, (seed, arm) in enumerate(runs, start=1):
        started, name = clock(), f"{arm.name}, seed {seed}"
        is_reused = _run_or_reuse(arm, seed, quiet, console)
        if not is_reused:
            seconds.append(clock() - started)
        time_text, left = "reused" if is_reused else duration(seconds[-1]), len(runs) - number
        eta = f", about {duration(fmean(seconds) * left)} left" if seconds and left else ""
        console.print(f"{name}: {_score(arm, seed)}, {time_text}; {number} of {len(runs)} runs ended{eta}")


def _score(arm: Arm, seed: int) -> str:
    """Headline score of a run that ended: `dev accuracy 93.4 %`."""
    if seed not in arm.results:
        return "failed"
    result, headline = arm.results[seed], arm.results[seed]["headline"]
    return f"{headline['split']} {headline['metric']} {percent(headline_score(headline, result['student']))}"


def _run_or_reuse(arm: Arm, seed: int, quiet: QuietConsole, console: Console) -> bool:
    """Set the result of an arm's run with this seed, or its error; return whether a finished run was reused."""
    with progress.track("loading PyTorch and transformers"):
        from kdrun.runs import runner

    config = arm.config(seed)
    output_dir, key = Path(config.output_dir), (config_hash(config), code_digest(), arm.data_hash)
    existing = reuse.find_run(output_dir, key)
    is_done = existing is not None and existing.status is Status.done
    if existing is not None and is_done:
        console.print(f"{arm.name}, seed {seed}: reused, {existing.folder}")
        folder = existing.folder
    else:
        # a failed run starts again in a new folder: in its old one it would fail again
        stopped = existing.folder if existing is not None and existing.status in STOPPED else None
        console.print(f"{arm.name}, seed {seed}: {'starts' if stopped is None else f'resumes in {stopped}'}")
        config = config if stopped is None else replace(config, run_dir=str(stopped))
        try:
            runner.run(config, quiet, [*arm.overrides, f"seed={seed}"])
        except RECOVERABLE_ERRORS as error:
            arm.failed[seed] = f"{type(error).__name__}: {error}"
            console.error(f"{arm.name}, seed {seed}: {error}")
            return False
        folder = finished(read_runs(output_dir / LEDGER))[key]
    arm.results[seed] = read_result(folder / RESULT)
    arm.folders[seed] = folder
    return is_done
