"""search.json, the record of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from kdrun.errors import DataError
from kdrun.storage.json_reader import Rule, Shape, is_finite, read_object

SEARCH = "search.json"
STATES = ("finished", "pruned", "failed", "running", "waiting")


class TrialRecord(TypedDict):
    """One trial of a search."""

    number: int  # from 1
    state: str  # one of STATES
    score: float | None  # of a finished trial
    values: dict[str, str]  # key → value, as in overrides
    cell: str | None  # id of its cell in sweep.json
    run_dir: str | None  # folder of its run
    seconds: float | None  # of its run
    error: str | None  # why it failed or was pruned
    repeats: int | None  # number of the earlier trial with the same values
    evaluations: list[list[float]]  # trained share in percent, score
    default: NotRequired[bool]  # whether these are the default values


class SearchRecord(TypedDict):
    """A search."""

    name: str  # of the folder
    kdrun: str  # version
    code: str  # hash of the code that decides numbers
    command: str
    method: str
    task: str
    preset: str
    data_name: str | None  # None until a trial has finished
    synthetic: bool
    overrides: list[str]  # of all runs
    space: dict[str, str]  # key → range as written
    seed: int  # of the sampler and the runs
    prune: bool
    trials_requested: int
    split: str  # that chooses
    metric: str
    trials: list[TrialRecord]
    best: int | None  # number of the best trial
    importances: dict[str, float] | None
    no_importances: str  # why there are none
    comparison: str | None  # folder of the comparison with the default
    seeds: NotRequired[list[int]]  # of the comparison


STATE = Rule(f"one of {', '.join(STATES)}", lambda value: isinstance(value, str) and value in STATES)
POINT = Rule(
    "two numbers", lambda value: isinstance(value, list) and len(value) == 2 and all(is_finite(v) for v in value)
)
COUNT = Rule("a number from 1", lambda value: type(value) is int and value > 0)
TRIAL: dict[str, Shape] = {
    "number": COUNT,
    "state": STATE,
    "score": (float, None),
    "values": {"*": str},
    "cell": (str, None),
    "run_dir": (str, None),
    "seconds": (float, None),
    "error": (str, None),
    "repeats": (COUNT, None),
    "evaluations": [POINT],
    "default?": bool,
}
SHAPE: dict[str, Shape] = {
    "name": str,
    "kdrun": str,
    "code": str,
    "command": str,
    "method": str,
    "task": str,
    "preset": str,
    "data_name": (str, None),
    "synthetic": bool,
    "overrides": [str],
    "space": {"*": str},
    "seed": int,
    "prune": bool,
    "trials_requested": COUNT,
    "split": str,
    "metric": str,
    "trials": [TRIAL],
    "best": (COUNT, None),
    "importances": ({"*": float}, None),
    "no_importances": str,
    "comparison": (str, None),
}


def read_search(folder: Path) -> SearchRecord:
    """Read the record of a search.

    Raises:
        DataError: the folder holds no record, or it was not written by kdrun.
    """
    path = folder / SEARCH
    if not path.is_file():
        raise DataError(f"{folder} has no {SEARCH}: it is not the folder of a search")
    record: dict[str, Any] = read_object(path.read_bytes(), SHAPE, f"{path} was not written by kdrun")
    return cast("SearchRecord", record)
