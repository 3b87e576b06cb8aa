"""Runs of a comparison as cells of a sweep, for launchers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kdrun.config.identity import config_hash
from kdrun.config.overrides import key_of
from kdrun.experiments import reuse, sweeps
from kdrun.experiments.compare.arms import Arm
from kdrun.experiments.sweep_record import Sweep
from kdrun.runs.provenance import code_digest
from kdrun.storage.hashing import digest
from kdrun.storage.ledger import Status
from kdrun.storage.run_result import RESULT, read_result


def record_runs(arms: Sequence[Arm], seeds: Sequence[int], all_arms: Sequence[Arm] = ()) -> Sweep:
    """Record the runs of a comparison as a sweep; its requested cells are those without a finished run.

    Args:
        arms: arms to run.
        seeds: seeds of the runs.
        all_arms: all arms of the comparison, by which the sweep is named; by default `arms`.

    Raises:
        ConfigError: the recorded sweep of this comparison has other settings, e.g. after a change of the code.
    """
    overrides = [[override for override in arm.overrides if not sweeps.is_shared(override)] for arm in all_arms or arms]
    shared = set.intersection(*map(set, overrides))
    differing = {key_of(override) for of_arm in overrides for override in of_arm if override not in shared}
    configs = [([*arm.overrides, f"seed={seed}"], arm.config(seed)) for seed in seeds for arm in arms]
    name = f"compare-{digest([sorted(of_arm) for of_arm in overrides])[:6]}"
    sweep = sweeps.record_sweep(name, configs, differing | {"seed"})
    missing = [config_hash(arm.config(seed)) for arm in arms for seed in seeds if seed not in arm.results]
    return replace(sweep, requested=frozenset(missing))


def collect(arms: Sequence[Arm], seeds: Sequence[int]) -> list[str]:
    """Set the results of finished and failed runs.

    Returns:
        Names of the runs that have not ended, with their status.
    """
    unfinished = []
    for arm in arms:
        for seed in seeds:
            config = arm.config(seed)
            key = (config_hash(config), code_digest(), arm.data_hash)
            run = reuse.find_run(Path(config.output_dir), key)
            if run is not None and run.status is Status.done:
                arm.results[seed], arm.folders[seed] = read_result(run.folder / RESULT), run.folder
            elif run is not None and run.status is Status.failed:
                arm.failed[seed] = run.error or "failed"
            else:
                status = sweeps.PENDING if run is None else run.status.value
                unfinished.append(f"{arm.name}, seed {seed}: {status}")
    return unfinished
