"""Statistics of a comparison: per arm, per pair, with a verdict."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kdrun.config.domains import DomainSettings
from kdrun.config.identity import config_hash
from kdrun.errors import DataError
from kdrun.experiments.compare import significance, teachers
from kdrun.experiments.compare.arms import Arm
from kdrun.runs.provenance import code_digest
from kdrun.storage.files import read_jsonl
from kdrun.storage.hashing import digest
from kdrun.storage.run_result import RunResult
from kdrun.storage.serialization import to_plain
from kdrun.version import __version__

if TYPE_CHECKING:
    from kdrun.config.schema import RunConfig
    from kdrun.config.task import TaskConfig
    from kdrun.data.dataset import TaskDataset
    from kdrun.experiments.compare.options import CompareOptions


def build_record(
    arms: list[Arm], seeds: list[int], settings: CompareOptions, config: RunConfig, data: TaskDataset, command: str
) -> dict[str, Any]:
    """The comparison as plain data: comparison.json, and a line of the ledger.

    Args:
        arms: with their results.
        seeds: that were asked for.
        settings: of the comparison.
        config: of any of its runs, for what they share.
        data: the rows they ran on.
        command: that asked for it.
    """
    task = config.task
    split, metric = task.report_split, task.headline
    results = [arm.results[seed] for arm in arms for seed in seeds if seed in arm.results]
    chosen = {result["checkpoint"]["split"] for result in results}
    taught = {arm.name: teachers.teacher_of_arm(arm, split, metric) for arm in arms}
    shared = teachers.shared_teacher(list(taught.values()))
    data_hashes = [arm.data_hash for arm in arms]
    identity = [[config_hash(arm.config(1)) for arm in arms], seeds, code_digest(), data_hashes, settings.margin]
    resampled = _resampled(arms, task, split, metric)
    how, scored = significance.HOW_BY_DOMAIN if task.is_by_domain else significance.HOW, (split, metric)
    return {
        "event": "comparison",
        "comparison_id": digest(identity)[:12],
        "started": time.time(),
        "task": task.name,
        "data_name": data.display_name,
        "synthetic": data.synthetic,
        "preset": config.preset,
        "student": ", ".join(dict.fromkeys(result["student"]["name"] for result in results)) or None,
        "teacher": shared,
        "guess": results[0]["guess"][split].get(metric) if results else None,
        "metric": metric,
        "split": split,
        "chosen_on": chosen.pop() if len(chosen) == 1 else None,
        "rows": data.splits[split].num_rows,
        "seeds": seeds,
        "margin": settings.margin,
        "confidence": significance.CONFIDENCE,
        "how": how,
        "uneven_steps": _uneven(arms),
        "arms": [_arm(arm, split, metric, taught[arm.name], shared) for arm in arms],
        "pairs": [_pair(a, b, resampled, settings.margin, scored, how) for b, a in itertools.combinations(arms, 2)],
        "code": code_digest(),
        "data_hash": data.fingerprint,
        "config": to_plain(config),
        "kdrun": __version__,
        "command": command,
    }


def _score(result: RunResult, split: str, metric: str) -> float | None:
    return result["student"]["metrics"][split][metric]


def _arm(
    arm: Arm, split: str, metric: str, teacher: dict[str, Any] | None, shared: dict[str, Any] | None
) -> dict[str, Any]:
    """Statistics of an arm; retention refers to its teacher, or to the shared teacher if it has none."""
    scores = {seed: _score(result, split, metric) for seed, result in arm.results.items()}
    values = [value for value in scores.values() if value is not None]
    mean = float(np.mean(values)) if values else None
    config, against = arm.config(1), teacher or shared
    top = against["score"] if against else None
    names = config.task.domains if config.task.is_by_domain else []
    metrics = [result["student"]["metrics"][split] for result in arm.results.values()]
    steps = [result["steps"] for result in arm.results.values()]
    seconds = [result["time"]["train_s"] for result in arm.results.values()]
    return {
        "name": arm.name,
        "method": arm.method,
        "words": arm.words,
        "domain": config.method.domain if isinstance(config.method, DomainSettings) else None,
        "teacher": teacher,
        "by_domain": teachers.by_domain(metrics, metric, names),
        "runs": {str(seed): folder.name for seed, folder in arm.folders.items()},
        "folders": {str(seed): str(folder) for seed, folder in arm.folders.items()},
        "scores": {str(seed): value for seed, value in scores.items()},
        "mean": mean,
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "kept": mean / top if mean is not None and top else None,
        "seconds": float(np.mean(seconds)) if seconds else None,
        "steps": steps[0] if steps else {},
        "made_text": _made_text(list(arm.results.values())),
        "failed": {str(seed): error for seed, error in arm.failed.items()},
    }


def _made_text(results: list[RunResult]) -> dict[str, float | None] | None:
    """The figures of the text that an arm's runs left behind, means over seeds; None for runs that left none.

    A figure that one of the runs lacks is None. Shares by class are left out: they are in each run's result.
    """
    found = [result["generated"]["quality"] for result in results if result["generated"] is not None]
    if not found:
        return None
    made: dict[str, float | None] = {}
    for key in (key for key in found[0] if key not in ("classes", "wanted")):
        values = [quality[key] for quality in found]
        made[key] = None if None in values else float(np.mean(values))
    return made


def _uneven(arms: list[Arm]) -> list[str]:
    """Seeds at which arms took different numbers of student steps, as sentences; they should not."""
    found = []
    for seed in sorted({seed for arm in arms for seed in arm.results}):
        steps = {arm.name: arm.results[seed]["steps"].get("student", 0) for arm in arms if seed in arm.results}
        if len(set(steps.values())) > 1:
            shown = ", ".join(f"{name} {count}" for name, count in steps.items())
            found.append(f"seed {seed}: student steps differ ({shown}), so the arms had different budgets")
    return found


def _resampled(arms: list[Arm], task: TaskConfig, split: str, metric: str) -> dict[tuple[str, int], np.ndarray]:
    """The metric of every finished run on bootstrap resamples, the same examples for all: [resamples] each."""
    keys, answers, gold, domains = [], [], None, None
    for arm in arms:
        for seed, folder in arm.folders.items():
            answered, found, domains = _read_predictions(folder, task, split)
            if gold is not None and not np.array_equal(gold, answered):
                raise DataError(f"{folder}/predictions.jsonl has other rows, or another order, than the runs before it")
            gold = answered
            keys.append((arm.name, seed))
            answers.append(found)
    if gold is None:
        return {}
    made = significance.resample(metric, gold, np.stack(answers), domains=domains)
    return {key: made[:, i] for i, key in enumerate(keys)}


def _read_predictions(folder: Path, task: TaskConfig, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Gold answers and the student's, class indices, scores or texts, and the domains' names where rows have one."""
    rows = [row for row in read_jsonl(folder / "predictions.jsonl") if row["split"] == split]
    number = {name: i for i, name in enumerate(task.labels)}
    columns = [[row[key] for row in rows] for key in ("gold", "prediction")]
    if task.labels:
        columns = [[number[name] for name in column] for column in columns]
    domains = np.array([row["domain"] for row in rows]) if rows and "domain" in rows[0] else None
    return np.array(columns[0]), np.array(columns[1]), domains


def _pair(
    a: Arm, b: Arm, resampled: dict[tuple[str, int], np.ndarray], margin: float, scored: tuple[str, str], how: str
) -> dict[str, Any]:
    """The verdict on a against b, over the seeds that both finished."""
    seeds = sorted(a.results.keys() & b.results.keys())
    made: dict[str, Any] = {"a": a.name, "b": b.name, "seeds": len(seeds), "how": how}
    if not seeds:
        nothing = {"difference": None, "interval": None, "word": "INCONCLUSIVE", "seeds_needed": None}
        return made | nothing | {"reason": "no seed was finished by both"}
    scores = [[_score(arm.results[seed], *scored) for seed in seeds] for arm in (a, b)]
    gaps = np.array([np.nan if None in both else both[0] - both[1] for both in zip(*scores, strict=True)])
    again = np.stack([resampled[a.name, seed] - resampled[b.name, seed] for seed in seeds], axis=1)
    found = significance.decide(gaps, again, margin)
    return made | to_plain(
        {
            "difference": found.difference,
            "interval": found.interval,
            "word": found.word,
            "seeds_needed": found.seeds_needed,
            "reason": found.reason,
        }
    )
