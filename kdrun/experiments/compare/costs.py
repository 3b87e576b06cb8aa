"""Cost of a comparison with until=decided, from measured times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kdrun.config.identity import config_hash
from kdrun.console import Console
from kdrun.experiments.compare import run_times
from kdrun.experiments.compare.arms import Arm
from kdrun.formatting import duration, plural
from kdrun.runs.provenance import code_digest
from kdrun.storage.ledger import LEDGER, finished, read_runs


def print_cost(arms: Sequence[Arm], first: Sequence[int], last: int, console: Console) -> bool:
    """Print how many runs are left before the first and until the last look, and how long they will take.

    A run takes as long as the newest finished runs of the same arm in the ledger took.

    Args:
        arms: the arms.
        first: seeds of the first look.
        last: number of seeds of the last look.
        console: where to print.

    Returns:
        Whether each arm has a measured time; without it only the numbers of runs are printed.
    """
    configs = [arm.config(1) for arm in arms]
    runs = read_runs(Path(configs[0].output_dir) / LEDGER)
    reusable, code = finished(runs), code_digest()
    seconds: list[float | None] = []
    left: list[tuple[int, int]] = []
    for arm, config in zip(arms, configs, strict=True):
        seconds.append(run_times.mean_seconds(runs, config))
        hashes = [config_hash(replace(config, seed=seed)) for seed in range(1, last + 1)]
        missing = [(hash_, code, arm.data_hash) not in reusable for hash_ in hashes]
        left.append((sum(missing[: len(first)]), sum(missing)))
    least, most = (sum(counts) for counts in zip(*left, strict=True))
    first_look = f"{plural(least, 'run')} for the first {len(first)} seeds of {plural(len(arms), 'arm')}"
    text = f"cost: {first_look}, at most {plural(most, 'run')} for {last} seeds"
    measured = [value for value in seconds if value is not None]
    if len(measured) < len(arms):
        console.print(f"{text}; times follow after the first seed")
        return False
    least_s, most_s = (sum(s * counts[i] for s, counts in zip(measured, left, strict=True)) for i in (0, 1))
    console.print(f"{text}; about {duration(least_s)} for the first, at most {duration(most_s)}, as measured")
    return True
