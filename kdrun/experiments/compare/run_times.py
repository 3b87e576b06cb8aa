"""Measured times of finished runs like a planned one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from statistics import fmean
from typing import Any

from kdrun.config.identity import identity
from kdrun.config.schema import RunConfig
from kdrun.storage.ledger import Status
from kdrun.storage.serialization import to_plain

NEWEST = 5
"""Number of runs whose times are averaged: the machine and the code change."""


def mean_seconds(runs: Iterable[Mapping[str, Any]], config: RunConfig, keys: Iterable[str] = ()) -> float | None:
    """Mean wall time of the newest finished runs that differ from a config in the seed and some keys at most.

    Args:
        runs: records of a ledger, oldest first.
        config: of the planned run.
        keys: dotted config keys that may differ, since they change no cost.

    Returns:
        Seconds; None if no such run has finished.
    """
    ignored = {"seed", *keys}
    planned = dict(_flat(identity(to_plain(config)), ignored))
    seconds = [
        float(run["seconds"])
        for run in runs
        if run["status"] == Status.done.value
        and run.get("seconds") is not None
        and run["method"] == config.method.name
        and dict(_flat(identity(run.get("config") or {}), ignored)) == planned
    ]
    return fmean(seconds[-NEWEST:]) if seconds else None


def _flat(values: Mapping[str, Any], ignored: set[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted keys of nested values with their values, without ignored keys."""
    for name, value in values.items():
        key = f"{prefix}{name}"
        if key in ignored:
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, ignored, f"{key}.")
        else:
            yield key, value
