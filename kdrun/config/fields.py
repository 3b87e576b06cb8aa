"""Dataclass fields with a description and an allowed range."""

from __future__ import annotations

import copy
import dataclasses
import math
import operator
from collections.abc import Iterator
from dataclasses import field
from typing import Any

MISSING = "???"
"""OmegaConf's mark of a value that must be given."""

BOUNDS = (("gt", ">", operator.gt), ("ge", ">=", operator.ge), ("lt", "<", operator.lt), ("le", "<=", operator.le))


def setting(
    default: Any = MISSING,
    doc: str = "",
    *,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
) -> Any:
    """A dataclass field with its meaning and its allowed range (bounds apply to every item of a list)."""
    meta = {"doc": doc, "gt": gt, "ge": ge, "lt": lt, "le": le}
    if isinstance(default, list | dict) or dataclasses.is_dataclass(default):
        return field(default_factory=lambda: copy.deepcopy(default), metadata=meta)
    return field(default=default, metadata=meta)


def validate_ranges(section: Any, prefix: str = "") -> Iterator[str]:
    """Every value of a config (and of the sections in it) that is missing or out of range, as sentences."""
    for item in dataclasses.fields(section):
        key, value = f"{prefix}{item.name}", getattr(section, item.name)
        if dataclasses.is_dataclass(value):
            yield from validate_ranges(value, f"{key}.")
        elif value == MISSING:
            yield f"{key} is required: {item.metadata.get('doc', 'no default')}; set it with {key}=…"
        else:
            for one in value if isinstance(value, list) else [value]:
                yield from _check_range(key, one, item.metadata)


def _check_range(key: str, value: Any, meta: Any) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    wanted = [(sign, meta[name], test) for name, sign, test in BOUNDS if meta.get(name) is not None]
    if not math.isfinite(value) or not all(test(value, bound) for _, bound, test in wanted):
        rule = " and ".join(f"{sign} {bound}" for sign, bound, _ in wanted) or "a finite number"
        yield f"{key} must be {rule}, got {value}"
