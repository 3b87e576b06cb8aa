"""The content of result.json: types, reader, and its projection in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from kdrun.errors import DataError
from kdrun.storage.cost_card import CARD, CostCard, StudentCost, student_cost
from kdrun.storage.json_reader import Shape, read_object
from kdrun.storage.key_aliases import rename_run

RESULT = "result.json"
SCHEMA = 1
"""Version of the keys below. Files without the key `schema` are of version 0, which has the same keys or fewer."""

Scores = dict[str, dict[str, float | None]]
"""Split → metric → value; null where a metric is undefined."""


class Headline(TypedDict):
    """The score by which runs are compared."""

    metric: str  # name of the metric
    split: str  # split that is reported
    rows: NotRequired[str]  # its rows, for people, if some are held-out training rows


class ModelResult(TypedDict):
    """A trained model and its scores."""

    name: str  # architecture and origin, for people
    params: int  # number of parameters
    metrics: Scores  # scores on every dev split


class TeacherModelResult(TypedDict):
    """A teacher and its scores."""

    name: str  # architecture and origin, or the files of a recorded teacher, for people
    params: int | None  # number of parameters; null for a recorded teacher
    metrics: Scores  # scores on every dev split; null where a recorded teacher has no answers


class CheckpointResult(TypedDict):
    """The checkpoint of the student that was evaluated."""

    selected: str  # best_dev or last
    split: str | None  # split that chose it; null for last
    step: int | None  # student steps at which it was saved; null over several domains
    note: str | None  # relation between the split that chose it and the split reported


class TimeResult(TypedDict):
    """Wall time in seconds."""

    total_s: float  # whole run
    train_s: float  # training of the student
    examples_per_s: float | None  # training examples per second


class GeneratedOrigin(TypedDict):
    """Where generated training text comes from, read from its card."""

    method: str  # method that generated it
    seed: int  # seed of the run that generated it
    generator: str  # name of the generator
    command: str  # command of that run
    teacher: str | None  # teacher that scored the text; null for text that no teacher scored
    same_teacher: bool | None  # whether this run has the same teacher; null without a teacher's model
    sha256: str  # checksum of the rows


class DataResult(TypedDict):
    """Rows and labels that the run read."""

    name: str  # task and data, for people
    source: str  # registered data source
    synthetic: bool  # whether a grammar made the text
    train_rows_read: int  # the task's training rows that the student read
    labels_read: int  # their labels that the student read
    ood_rows_read: int  # out-of-domain rows that the student read
    generated_rows_read: int  # generated rows that the student read
    unlabelled_rows_read: NotRequired[int]  # rows of data.unlabelled that the student read
    generated: GeneratedOrigin | None  # origin of the generated rows
    train_rows_read_for_teacher: int | None  # rows that the teacher was fine-tuned on
    rows_read_for_teacher_by_domain: dict[str, int]  # the same by domain; empty for a task without domains
    rows: dict[str, int]  # split → number of rows
    rows_by_domain: dict[str, dict[str, int]]  # split → domain → number of rows
    truncated: NotRequired[dict[str, dict[str, int]]]  # role → split → rows cut at data.max_length, where known
    special_tokens: NotRequired[dict[str, dict[str, int]]]  # role → split → rows with special tokens as text, if any


class ExtraSplitResult(TypedDict):
    """An extra split, which only scores; its scores are those of the split of this name."""

    rows: int  # number of rows
    origin: str  # data set and split


class GeneratedTextResult(TypedDict):
    """Text that the run exported for other runs."""

    path: str  # file with the rows, relative to the run's folder
    name: str  # name of that file
    rows: int  # number of rows
    sha256: str  # checksum of the file
    fingerprint: str  # fingerprint of the rows as a split
    counts: dict[str, int]  # texts generated, kept and dropped by reason
    quality: dict[str, Any]  # statistics of `kdrun.generation.text_statistics.measure`


class DomainResult(TypedDict):
    """One domain of a run with a student per domain."""

    score: float | None  # headline score of its student
    retention: float | None  # student's score divided by teacher's
    run_dir: str  # folder of its run, relative to the whole run's folder


class Provenance(TypedDict):
    """Facts needed to repeat the run."""

    code: str  # hash of the code that decides numbers
    git: str | None  # commit; null when installed without git
    dirty: bool | None  # whether tracked files had changes
    python: str  # version
    torch: str  # version
    transformers: str  # version
    config_hash: str  # hash of the config keys that decide numbers
    data_hash: str | None  # fingerprint of all rows
    command: str  # command line
    processes: NotRequired[int]  # processes that computed the end of the run; missing in older results


class StoppedRole(TypedDict):
    """A role whose training stopped before its budget was spent."""

    role: str  # name of the role
    phase: str  # phase in which it stopped
    step: int  # step of that phase
    why: str  # reason


class RunResult(TypedDict):
    """The content of result.json; every null has a reason under `reasons`."""

    schema: NotRequired[int]  # version of this format; missing in version 0
    kdrun: str  # version of kdrun
    status: str  # done
    method: str  # registered method
    task: str  # short name of the task
    preset: str  # preset of the config
    data: DataResult
    seed: int  # seed of the student
    headline: Headline
    checkpoint: CheckpointResult
    guess: Scores  # scores of the majority baseline
    teacher: TeacherModelResult | None  # null for a method without a teacher
    student: ModelResult
    retention: float | None  # student's headline score divided by teacher's
    compression: float | None  # teacher's parameters divided by student's
    time: TimeResult
    stages: NotRequired[dict[str, dict[str, float]]]  # stage → seconds: s of wall time, cpu_s of processors
    steps: dict[str, int]  # role → optimizer steps
    rests: list[StoppedRole]  # roles whose training stopped early
    generated: GeneratedTextResult | None  # text exported for other runs
    provenance: Provenance
    reasons: dict[str, str]  # dotted key → why its value is null
    agreement: NotRequired[Scores]  # split → agreement with the teacher, teacher_kl, or teacher_pearson; if it has one
    extra: NotRequired[dict[str, ExtraSplitResult]]  # splits of evaluation.extra, if any
    cost: NotRequired[CostCard]  # costs of teacher and student; only with cost_card=true
    domains: NotRequired[dict[str, DomainResult]]  # only in a run with a student per domain


class LedgerResult(TypedDict):
    """Keys of a result that the ledger repeats, so that tables need not open every folder."""

    data_name: str
    synthetic: bool
    headline: Headline
    teacher: TeacherModelResult | None
    student: ModelResult
    retention: float | None
    time: TimeResult
    steps: dict[str, int]
    checkpoint: CheckpointResult
    provenance: Provenance
    agreement: NotRequired[Scores]  # split → agreement with the teacher; missing without one
    cost: NotRequired[StudentCost]  # figures of the student's cost; only with cost_card=true


COUNTED_ROWS = ("train_rows", "labels", "ood_rows", "generated_rows", "unlabelled_rows")
SCORES_SHAPE: Shape = {"*": {"*": (float, None)}}
HEADLINE_SHAPE: Shape = {"metric": str, "split": str, "rows?": str}
MODEL_SHAPE: dict[str, Shape] = {"name": str, "params?": (int, None), "metrics": SCORES_SHAPE}
SIZED_MODEL_SHAPE: dict[str, Shape] = {**MODEL_SHAPE, "params": int}
CHECKPOINT_SHAPE: Shape = {"selected": str, "split": (str, None), "step?": (int, None), "note?": (str, None)}
PROVENANCE_SHAPE: Shape = {
    "data_hash?": (str, None),
    "dirty?": (bool, None),
    "processes?": int,
    **{f"{key}?": (str, None) for key in ("code", "git", "python", "torch", "transformers", "config_hash", "command")},
}
RESULT_SHAPE: dict[str, Shape] = {
    "method": str,
    "task": str,
    "preset?": (str, None),
    "seed?": (int, None),
    "headline": HEADLINE_SHAPE,
    "student": SIZED_MODEL_SHAPE,
    "teacher": (MODEL_SHAPE, None),
    **dict.fromkeys(("guess?", "agreement?"), (SCORES_SHAPE, None)),
    "data": {
        "name": str,
        "synthetic": bool,
        "source?": (str, None),
        "rows?": {"*": int},
        "rows_by_domain?": {"*": {"*": int}},
        "rows_read_for_teacher_by_domain?": {"*": int},
        "train_rows_read_for_teacher?": (int, None),
        **{f"{name}_read?": (int, None) for name in COUNTED_ROWS},
        "generated?": (dict, None),
    },
    "checkpoint?": (CHECKPOINT_SHAPE, None),
    "retention": (float, None),
    "compression?": (float, None),
    "time?": ({"*": (float, None)}, None),
    "stages?": {"*": {"s": float, "cpu_s": float}},
    "steps?": ({"*": int}, None),
    "rests?": ([{"role": str, "phase": str, "step": int, "why": str}], None),
    "generated?": ({"path": str, "rows": int, "counts": dict, "quality": dict}, None),
    "provenance?": (PROVENANCE_SHAPE, None),
    "reasons?": ({"*": str}, None),
    "extra?": {"*": {"rows": int, "origin": str}},
    "cost?": (CARD, None),
    "domains?": ({"*": {"score": (float, None), "retention": (float, None), "run_dir": str}}, None),
}
"""The keys that readers use. Files of version 0 may lack those that are optional here."""


def read_result(path: Path) -> RunResult:
    """Read a result.json of this version or an older one.

    Args:
        path: the file.

    Raises:
        DataError: the file is not a result of kdrun, or a newer kdrun wrote it.
    """
    text = path.read_bytes()
    schema = read_object(text, {}, str(path)).get("schema", 0)
    if not isinstance(schema, int) or schema > SCHEMA:
        raise DataError(f"{path} has schema={schema}, and this kdrun reads schema {SCHEMA} and older; update kdrun")
    content = read_object(text, RESULT_SHAPE, f"{path} was not written by kdrun")
    problem = score_problem(content)
    if problem is not None:
        raise DataError(f"{path}: {problem}")
    return cast("RunResult", rename_run(content))


def score_problem(result: Mapping[str, Any]) -> str | None:
    """The problem of the scores of a result as a sentence; None if teacher and student have a headline score.

    Args:
        result: with the keys `headline`, `student` and `teacher` in their shapes.
    """
    metric, split = result["headline"]["metric"], result["headline"]["split"]
    for role in ("student", "teacher"):
        if result[role] is not None and metric not in result[role]["metrics"].get(split, {}):
            return f"{role}.metrics has no {metric} on {split}, the headline score"
    return None


def ledger_result(result: RunResult) -> LedgerResult:
    """The part of a result that the run's last line in the ledger repeats."""
    content: LedgerResult = {
        "data_name": result["data"]["name"],
        "synthetic": result["data"]["synthetic"],
        "headline": result["headline"],
        "teacher": result["teacher"],
        "student": result["student"],
        "retention": result["retention"],
        "time": result["time"],
        "steps": result["steps"],
        "checkpoint": result["checkpoint"],
        "provenance": result["provenance"],
    }
    if "agreement" in result:
        content["agreement"] = result["agreement"]
    cost = student_cost(result["cost"]) if "cost" in result else None
    if cost is not None:
        content["cost"] = cost
    return content


def headline_score(headline: Headline, model: ModelResult | TeacherModelResult | None) -> float | None:
    """A model's score on the headline metric and split; None without a model or where the metric is undefined."""
    return model["metrics"][headline["split"]][headline["metric"]] if model else None
