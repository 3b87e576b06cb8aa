"""Synthetic rows that ship with kdrun."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from kdrun.config import domains
from kdrun.config.data import DataConfig
from kdrun.config.task import TaskConfig
from kdrun.data import arrow_arrays, embedded
from kdrun.data.splits import Split, make_split
from kdrun.errors import DataError
from kdrun.registry import register


def check_embedded(config: DataConfig, task: TaskConfig, names: Sequence[str]) -> None:
    """Check that the embedded data has these splits of a task.

    Raises:
        DataError: it does not.
    """
    if task.hub and task.name not in embedded.TASKS:
        raise DataError(f"task={task.name} has no embedded rows; set data=hub, which reads {task.hub['repo']}")
    for name in names:
        embedded.check_split_name(task.name, name)


@register("data", "embedded", config=DataConfig, check=check_embedded)
def embedded_source(config: DataConfig, task: TaskConfig, names: Sequence[str]) -> dict[str, Split]:
    """The synthetic rows that ship with kdrun: the same for every seed of a run."""
    splits = {name: _embedded_split(task.name, name, task.is_regression) for name in names}
    for split in splits.values():
        if split.domains() is not None and tuple(task.domains) != (present := domains.EMBEDDED_DOMAINS[task.name]):
            given = ", ".join(task.domains)
            raise DataError(f"{split.origin} has the domains {', '.join(present)}; task.domains is {given}")
    return splits


@lru_cache(maxsize=32)  # the runs of a comparison or a sweep over tasks read the same rows; a split has at most 3 MB
def _embedded_split(task: str, name: str, is_regression: bool) -> Split:
    rows = embedded.generate(task, name, seed=0)
    texts = [arrow_arrays.strings(rows.text)]
    if rows.text_pair is not None:
        texts.append(arrow_arrays.strings(rows.text_pair))
    if rows.answer is None:
        labels = arrow_arrays.numbers(np.array(rows.label, np.float32 if is_regression else np.int32))
    else:
        labels = arrow_arrays.strings(rows.answer)
    origin = f"embedded:{task}/{name}"
    if rows.domain is None:
        return make_split(name, texts, labels, origin, synthetic=True)
    names = domains.EMBEDDED_DOMAINS[task]
    ids = arrow_arrays.numbers(np.array([names.index(domain) for domain in rows.domain], np.int32))
    return make_split(name, texts, labels, origin, synthetic=True, domains=ids)
