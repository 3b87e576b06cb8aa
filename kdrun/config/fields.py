"""Dataclass fields with a description and an allowed range."""

from __future__ import annotations

import copy
import dataclasses
import math
import operator
from collections.abc import Iterator
from dataclasses import field
from typing import Any

from kdrun.errors import Problem

MISSING = "???"
"""OmegaConf's marker for a required value."""

BOUNDS = (("gt", ">", operator.gt), ("ge", ">=", operator.ge), ("lt", "<", operator.lt), ("le", "<=", operator.le))


def setting(
    default: Any = MISSING,
    doc: str = "",
    *,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
    raw: bool = False,
) -> Any:
    """A dataclass field with its meaning and allowed range; bounds apply to every item of a list.

    A `raw` option of a subcommand is the text as typed, without Hydra's grammar.
    """
    meta = {"doc": doc, "gt": gt, "ge": ge, "lt": lt, "le": le, "raw": raw}
    if isinstance(default, list | dict) or dataclasses.is_dataclass(default):
        return field(default_factory=lambda: copy.deepcopy(default), metadata=meta)
    return field(default=default, metadata=meta)


def validate_ranges(section: Any, prefix: str = "") -> Iterator[Problem]:
    """Every value of a config, sections in it included, that is missing or out of range."""
    for item in dataclasses.fields(section):
        key, value = f"{prefix}{item.name}", getattr(section, item.name)
        if dataclasses.is_dataclass(value):
            yield from validate_ranges(value, f"{key}.")
        elif value == MISSING:
            doc = item.metadata.get("doc", "no default")
            yield Problem(key, None, f"{key} is required: {doc}; set it with {key}=…")
        else:
            for number in value if isinstance(value, list) else [value]:
                yield from _check_range(key, number, item.metadata)


def _check_range(key: str, value: Any, meta: Any) -> Iterator[Problem]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    bounds = [(sign, meta[name], test) for name, sign, test in BOUNDS if meta.get(name) is not None]
    if not math.isfinite(value) or not all(test(value, bound) for _, bound, test in bounds):
        rule = " and ".join(f"{sign} {bound}" for sign, bound, _ in bounds) or "a finite number"
        yield Problem(key, value, f"{key} must be {rule}, got {value}")
