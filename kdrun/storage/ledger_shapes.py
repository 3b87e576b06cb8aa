"""Shapes of the lines of a ledger."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from kdrun.storage.cost_card import STUDENT_COST
from kdrun.storage.json_reader import Rule, Shape, is_finite
from kdrun.storage.processes import MAX_PID
from kdrun.storage.run_result import (
    CHECKPOINT_SHAPE,
    HEADLINE_SHAPE,
    MODEL_SHAPE,
    PROVENANCE_SHAPE,
    SCORES_SHAPE,
)

LAST_TIME = 2.5e11
"""End of the times that every platform can format: the year 9892."""
STATUSES = ("running", "done", "failed", "interrupted", "crashed")


def _is_command(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(shlex.split(value) if set("'\"\\") & set(value) else value.split())
    except ValueError:
        return False


STATUS = Rule(f"one of {', '.join(STATUSES)}", lambda value: isinstance(value, str) and value in STATUSES)
TIME = Rule("a time in seconds since 1970", lambda value: is_finite(value) and 0 <= value < LAST_TIME)
COMMAND = Rule("a command line with closed quotes", _is_command)
PID = Rule("a process id", lambda value: type(value) is int and 0 <= value < MAX_PID)
CLAIM_OUTCOME = Rule(
    "supported, contradicted or undecided", lambda value: value in ("supported", "contradicted", "undecided")
)
INTERVAL = Rule("two numbers", lambda value: isinstance(value, list) and len(value) == 2 and all(map(is_finite, value)))

PROCESS: dict[str, Shape] = {"pid?": (PID, None), "process_started?": (float, None), "boot?": (str, None)}
RUN_FACTS: dict[str, Shape] = {
    "run_id": str,
    "started": TIME,
    "method": str,
    "task": str,
    "preset": str,
    "seed": int,
    "run_dir?": str,
    "sweep?": (str, None),
    "group?": (str, None),
    "source?": (str, None),
    "config_hash?": str,
    "code?": (str, None),
    "status?": STATUS,
    **PROCESS,
}
"""Facts of a start line besides the config and the command, by which runs are listed and filtered."""
START: dict[str, Shape] = {**RUN_FACTS, "command": COMMAND, "config?": (dict, None)}
RESUME: dict[str, Shape] = {"run_id": str, "resumed": TIME, "status": STATUS, "processes?": int, **PROCESS}
END: dict[str, Shape] = {"run_id": str, "status": STATUS, "error?": (str, None), "seconds?": (float, None)}
FINISHED: dict[str, Shape] = {
    "data_name?": (str, None),
    "synthetic": bool,
    "headline": HEADLINE_SHAPE,
    "teacher": (MODEL_SHAPE, None),
    "student": MODEL_SHAPE,
    "retention?": (float, None),
    "time?": ({"*": (float, None)}, None),
    "steps?": ({"*": int}, None),
    "checkpoint?": (CHECKPOINT_SHAPE, None),
    "provenance?": (PROVENANCE_SHAPE, None),
    "agreement?": SCORES_SHAPE,
    "cost?": (STUDENT_COST, None),
    "path_names?": {"*": str},
}
"""Further keys of the end line of a run that is done."""

MEAN: dict[str, Shape] = {"mean": (float, None), "sd": (float, None)}
TUNING: dict[str, Shape] = {
    "search": str,
    "trials": int,
    "states": str,
    "seed": int,
    "split": str,
    "metric": str,
    "space": {"*": str},
    "fixed": [str],
    "chosen": {"*": str},
    "trial": (int, None),
    "default": (float, None),
    "best": (float, None),
}
"""The search that chose the values of an arm."""
RETENTION: dict[str, Shape] = {
    "metric": str,
    "split": str,
    "rows": (int, None),
    "value": float,
    "interval": (INTERVAL, None),
    "majority": (float, None),
}
"""The student's score divided by its teacher's, and the same for the majority baseline."""
ARM: dict[str, Shape] = {
    "name": str,
    "words": [str],
    "scores": {"*": (float, None)},
    **MEAN,
    "kept": (float, None),
    "interval?": (INTERVAL, None),
    "retention?": (RETENTION, None),
    "seconds": (float, None),
    "steps?": ({"*": int}, None),
    "failed?": ({"*": (str, None)}, None),
    "tuning?": (TUNING, None),
    "made_text?": ({"rows": (float, None), "*": (float, None)}, None),
    "by_domain?": ({"*": MEAN}, None),
    "domain?": (str, None),
    "runs?": {"*": str},
    "folders?": {"*": str},
    "teacher?": (
        {"name": str, "lessons": (str, None), "score": (float, None), "by_domain": {"*": MEAN}},
        None,
    ),
}
PAIR: dict[str, Shape] = {
    "a": str,
    "b": str,
    "seeds": int,
    "how": str,
    "word": str,
    "difference": (float, None),
    "interval": (INTERVAL, None),
    "seeds_needed?": (int, None),
    "reason?": (str, None),
    "asked?": bool,
    "confidence?": (float, None),
    "variance?": ({"examples": float, "seeds": float}, None),
    "tie_test?": ({"interval": INTERVAL, "confidence": float}, None),
}
"""A pair of arms. `asked`: whether it is a claim; `confidence`: of its interval, over all claims and looks;
`variance`: of the mean difference over examples, and of the difference over seeds; `tie_test`: the interval that
decides TIES, if it is another one."""
CLAIM: dict[str, Shape] = {"a": str, "b": str, "outcome": CLAIM_OUTCOME, "text": str}
SEQUENTIAL: dict[str, Shape] = {"rule": str, "first_look": int, "max_seeds": int, "seeds": {"*": int}}
"""How seeds were added until the claims were decided; `seeds`: number per arm."""
SEARCH: dict[str, Shape] = {
    "name": str,
    "trials": int,
    "states": str,
    "seed": int,
    "split": str,
    "metric": str,
    "values": {"*": str},
    "unseen": [{"split": str, "scores": {"*": MEAN}}],
}
"""The search whose best values the last arm has."""
COMPARISON: dict[str, Shape] = {
    "comparison_id": str,
    "started": TIME,
    "task": str,
    "data_name?": (str, None),
    "synthetic": bool,
    "preset": str,
    "metric": str,
    "split": str,
    "student": (str, None),
    "seeds": [int],
    "margin?": (float, None),
    "confidence?": (float, None),
    "tuned?": int,
    "rows?": int,
    "command": COMMAND,
    "arms": [ARM],
    "pairs": [PAIR],
    "claims?": [CLAIM],
    "sequential?": (SEQUENTIAL, None),
    "finished?": bool,
    "teacher?": ({"name": str, "score": (float, None)}, None),
    "guess?": (float, None),
    "chosen_on?": (str, None),
    "rows_text?": (str, None),
    "code?": (str, None),
    "uneven_steps?": ([str], None),
    "search?": (SEARCH, None),
    "config?": (dict, None),
    "path_names?": {"*": str},
}
"""comparison.json, and the line of a comparison in the ledger."""


def pair_problem(record: Mapping[str, Any]) -> str | None:
    """The problem of the pairs of a comparison as a sentence; None if each names two arms, and its interval a level.

    Args:
        record: a record of the shape `COMPARISON`.
    """
    names = {arm["name"] for arm in record["arms"]}
    for key in ("pairs", "claims"):
        unknown = [pair[side] for pair in record.get(key, []) for side in "ab" if pair[side] not in names]
        if unknown:
            return f"{key} names {unknown[0]!r}, which is no arm"
    if any(pair["interval"] for pair in record["pairs"]):
        for key in ("margin", "confidence"):
            if record.get(key) is None:
                return f"{key} is missing, and pairs have intervals"
    return None
