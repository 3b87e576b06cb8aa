"""Cost of models: types, file and reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict, cast

from kdrun.storage.json_reader import Rule, Shape, is_finite, read_object

COST = "cost.json"
STUDENT, TEACHER = "student", "teacher"


class Machine(TypedDict):
    """The machine that a cost was measured on."""

    processor: str  # name of the processor
    flags: list[str] | None  # vector instructions that decide the speed; null where the system does not report them
    cores: int | None  # logical processors
    threads: int  # threads of every model
    load: float | None  # mean number of running processes in the minute before; null where the system has none
    torch: str  # version
    onnxruntime: str | None  # version; null without exported files


class ModelCost(TypedDict):
    """Cost of one model or exported file."""

    name: str  # architecture and origin, for people
    format: str  # pytorch, or the format of the exported file
    params: int | None  # number of parameters
    params_without_embeddings: int | None  # number of parameters outside tables that a token selects one row of
    bytes: int  # size of the weights on disk; of a teacher, which a run does not save, its weights in fp32
    flops_per_row: int | None  # floating-point operations of the row of median length
    tokens_per_row: int  # tokens of the row of median length
    latency_p50_ms: float  # time of a batch of one row, median
    latency_p95_ms: float  # time of a batch of one row, 95th percentile
    rows_per_s: float  # rows per second in batches of 32
    peak_memory: int | None  # largest resident memory of a process that scores the 32 longest rows, bytes
    library_memory: int | None  # part of it before the model is loaded: Python and its libraries


class CostCard(TypedDict):
    """Costs that were measured side by side."""

    measured: str  # id of the measurement; models with one id were measured in turns
    machine: Machine
    rows: int  # rows of the latencies
    rounds: int  # times that each row was measured
    models: dict[str, ModelCost]  # teacher, student, and exported files by name
    reasons: dict[str, str]  # dotted key → why its value is null or missing


class StudentCost(TypedDict):
    """Figures of a student's cost that the ledger repeats."""

    processor: str  # name of the processor
    threads: int  # threads of the model
    bytes: int  # size of the weights on disk
    flops_per_row: int | None  # floating-point operations of the row of median length
    latency_p50_ms: float  # time of a batch of one row, median
    rows_per_s: float  # rows per second in batches of 32


NUMBER = Rule("a number >= 0", lambda value: is_finite(value) and value >= 0)
COUNT = Rule("a whole number >= 0", lambda value: type(value) is int and value >= 0)
MODEL_COST: dict[str, Shape] = {
    "name": str,
    "format": str,
    "params": (COUNT, None),
    "params_without_embeddings": (COUNT, None),
    "bytes": COUNT,
    "flops_per_row": (COUNT, None),
    "tokens_per_row": COUNT,
    "latency_p50_ms": NUMBER,
    "latency_p95_ms": NUMBER,
    "rows_per_s": NUMBER,
    "peak_memory": (COUNT, None),
    "library_memory": (COUNT, None),
}
CARD: dict[str, Shape] = {
    "measured": str,
    "machine": {
        "processor": str,
        "flags": ([str], None),
        "cores": (int, None),
        "threads": int,
        "load": (NUMBER, None),
        "torch": str,
        "onnxruntime": (str, None),
    },
    "rows": COUNT,
    "rounds": COUNT,
    "models": {"*": MODEL_COST},
    "reasons": {"*": str},
}
STUDENT_COST: dict[str, Shape] = {
    "processor": str,
    "threads": int,
    "bytes": COUNT,
    "flops_per_row": (COUNT, None),
    "latency_p50_ms": NUMBER,
    "rows_per_s": NUMBER,
}


def read_cost(path: Path) -> CostCard:
    """Read a file of `kdrun cost`.

    Raises:
        DataError: it was not written by kdrun.
    """
    card: Any = read_object(path.read_bytes(), CARD, f"{path} was not written by kdrun")
    return cast("CostCard", card)


def student_cost(card: CostCard) -> StudentCost | None:
    """The few figures of a card's student that the ledger repeats; None without a student."""
    model = card["models"].get(STUDENT)
    if model is None:
        return None
    return {
        "processor": card["machine"]["processor"],
        "threads": card["machine"]["threads"],
        "bytes": model["bytes"],
        "flops_per_row": model["flops_per_row"],
        "latency_p50_ms": model["latency_p50_ms"],
        "rows_per_s": model["rows_per_s"],
    }
