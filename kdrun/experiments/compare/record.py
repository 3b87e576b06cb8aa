"""Statistics of a comparison: per arm, per pair, with a verdict."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kdrun.config.domains import DomainSettings
from kdrun.config.evaluation import AGREEMENT_ROWS
from kdrun.config.identity import config_hash
from kdrun.experiments.compare import resampling, significance, teachers
from kdrun.experiments.compare.arm_intervals import arm_intervals
from kdrun.experiments.compare.arms import Arm
from kdrun.experiments.compare.claims import claim_record, plan_claims
from kdrun.experiments.compare.metric import judged_rows, read_runs
from kdrun.experiments.compare.options import Until
from kdrun.experiments.compare.replay import judge_once, replay
from kdrun.experiments.compare.scores import Scores
from kdrun.experiments.compare.sequential import BY_LOOK, RULE
from kdrun.experiments.compare.significance import CRITICAL_VALUES
from kdrun.experiments.compare.until import make_looks
from kdrun.experiments.compare.verdicts import judge_pairs
from kdrun.formatting import plural
from kdrun.runs.provenance import code_digest
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
    arms: list[Arm],
    seeds: list[int],
    settings: CompareOptions,
    config: RunConfig,
    data: TaskDataset,
    command: str,
    scores: Scores | None = None,
    *,
    finished: bool = True,
) -> dict[str, Any]:
    """The comparison as plain data: comparison.json, and a line of the ledger.

    Args:
        arms: arms with their results.
        seeds: requested seeds; with `until=decided` those that ended.
        settings: options of the comparison.
        config: config of any run, for the values that all runs share.
        data: rows of the runs.
        command: command line of the comparison.
        scores: of earlier looks, which are not computed again.
        finished: whether no look follows.
    """
    task, metric = config.task, settings.metric or config.task.headline
    judged = judged_rows(config, metric, data)
    split = judged.split
    scores = read_scores(arms, task, split, metric, scores)  # first: adds scores of agreement to the results
    results = [arm.results[seed] for arm in arms for seed in seeds if seed in arm.results]
    arm_teachers = {arm.name: teachers.teacher_of_arm(arm, split, metric) for arm in arms}
    shared = teachers.shared_teacher(list(arm_teachers.values()))
    intervals = {arm.name: arm_intervals(arm, scores.values, scores.resampled, task) for arm in arms}
    record = {
        "event": "comparison",
        "comparison_id": _comparison_id(arms, seeds, settings, task.headline),
        "started": time.time(),
        "task": task.name,
        "data_name": data.display_name,
        "synthetic": data.synthetic,
        "preset": config.preset,
        **_facts_of_runs(results, split, metric),
        "teacher": shared,
        "metric": metric,
        "split": split,
        "rows": judged.rows,
        "rows_text": judged.text,
        "seeds": seeds,
        "margin": settings.margin,
        "confidence": significance.CONFIDENCE,
        "finished": finished,
        "uneven_steps": _uneven_steps(arms),
        "arms": [_arm(arm, split, metric, arm_teachers[arm.name], shared) | intervals[arm.name] for arm in arms],
        **_judge(arms, settings, scores, _interval_rule(task, split), so_far="" if finished else " so far"),
        "command": command,
        **_provenance(config, data),
    }
    return record | {"claims": [claim_record(pair, record) for pair in record["pairs"] if pair["asked"]]}


def _facts_of_runs(results: Sequence[RunResult], split: str, metric: str) -> dict[str, Any]:
    """The students, the score of the majority baseline, and the split that chose the checkpoints of all runs."""
    choosing_splits = {result["checkpoint"]["split"] for result in results}
    return {
        "student": ", ".join(dict.fromkeys(result["student"]["name"] for result in results)) or None,
        "guess": results[0]["guess"][split].get(metric) if results else None,
        "chosen_on": choosing_splits.pop() if len(choosing_splits) == 1 else None,
    }


def _provenance(config: RunConfig, data: TaskDataset) -> dict[str, Any]:
    return {
        "code": code_digest(),
        "data_hash": data.fingerprint,
        "config": to_plain(config),
        "kdrun": __version__,
    }


def _interval_rule(task: TaskConfig, split: str) -> str:
    """How the intervals of a comparison are computed."""
    how = significance.HOW_BY_DOMAIN if task.is_by_domain else significance.HOW
    return how + significance.BY_GROUP if task.held_out_split is not None or split == AGREEMENT_ROWS else how


def _comparison_id(arms: list[Arm], seeds: list[int], settings: CompareOptions, headline: str) -> str:
    """Hash of what decides the numbers of a comparison; a repeated command has the same."""
    is_sequential = settings.until is Until.decided
    looks = [settings.until.value, settings.seeds, settings.max_seeds] if is_sequential else seeds
    data_hashes = [arm.data_hash for arm in arms]
    identity = [[config_hash(arm.config(1)) for arm in arms], looks, code_digest(), data_hashes, settings.margin]
    if settings.claims is not None:
        identity.append([[claim.a, claim.b] for claim in plan_claims(settings, arms)])
    if settings.metric not in (None, headline):
        identity.append(settings.metric)
    return digest(identity)[:12]


def _judge(arms: list[Arm], settings: CompareOptions, scores: Scores, how: str, so_far: str) -> dict[str, Any]:
    """The pairs of a comparison with their verdicts, how their intervals are computed, and how seeds were added."""
    claims, names = plan_claims(settings, arms), [arm.name for arm in arms]
    if settings.until is Until.seeds:
        state = judge_once(claims, scores, settings.margin)
        pairs = judge_pairs(claims, state, names, scores, settings.margin, how)
        return {"pairs": pairs, "how": how, "sequential": None}
    looks = make_looks(settings)
    state = replay(claims, scores, list(range(1, looks.last + 1)), settings.margin, looks)
    pairs = judge_pairs(claims, state, names, scores, settings.margin, how)
    how = how.replace(CRITICAL_VALUES, CRITICAL_VALUES + BY_LOOK)
    for pair in pairs[: len(claims)]:
        pair["how"] = how
        if pair["reason"]:
            pair["reason"] = f"{plural(pair['seeds'], 'seed')} did not decide it{so_far}; {pair['reason']}"
    sequential = {
        "rule": RULE,
        "first_look": looks.first,
        "max_seeds": looks.last,
        "seeds": {arm.name: len(arm.results) for arm in arms},
    }
    return {"pairs": pairs, "how": how, "sequential": sequential}


def read_scores(arms: Sequence[Arm], task: TaskConfig, split: str, metric: str, before: Scores | None = None) -> Scores:
    """The scores of the ended runs; those of `before` are not computed again."""
    scores = before or Scores()
    new = _resampled_scores(arms, task, split, metric, scores.resampled.keys())
    values = {
        (arm.name, seed): _headline_value(arm.results[seed], split, metric) for arm in arms for seed in arm.results
    }
    failed = {(arm.name, seed) for arm in arms for seed in arm.failed}
    return Scores(values, scores.resampled | new, failed, metric)


def _headline_value(result: RunResult, split: str, metric: str) -> float | None:
    return result["student"]["metrics"][split][metric]


def _arm(
    arm: Arm, split: str, metric: str, teacher: dict[str, Any] | None, shared: dict[str, Any] | None
) -> dict[str, Any]:
    """Statistics of an arm; retention refers to its teacher, or to the shared teacher if it has none."""
    scores = {seed: _headline_value(result, split, metric) for seed, result in arm.results.items()}
    values = [value for value in scores.values() if value is not None]
    mean = float(np.mean(values)) if values else None
    config, reference = arm.config(1), teacher or shared
    teacher_score = reference["score"] if reference else None
    names = config.task.domains if config.task.is_by_domain else []
    metrics = [result["student"]["metrics"][split] for result in arm.results.values()]
    steps = [result["steps"] for result in arm.results.values()]
    seconds = [result["time"]["train_s"] for result in arm.results.values()]
    return {
        "name": arm.name,
        "method": arm.method,
        "words": arm.overrides,
        "domain": config.method.domain if isinstance(config.method, DomainSettings) else None,
        "teacher": teacher,
        "by_domain": teachers.scores_by_domain(metrics, metric, names),
        "runs": {str(seed): folder.name for seed, folder in arm.folders.items()},
        "folders": {str(seed): str(folder) for seed, folder in arm.folders.items()},
        "scores": {str(seed): value for seed, value in scores.items()},
        "mean": mean,
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "kept": mean / teacher_score if mean is not None and teacher_score else None,
        "seconds": float(np.mean(seconds)) if seconds else None,
        "steps": steps[0] if steps else {},
        "made_text": _generated_text(list(arm.results.values())),
        "failed": {str(seed): error for seed, error in arm.failed.items()},
    }


def _generated_text(results: list[RunResult]) -> dict[str, float | None] | None:
    """Statistics of the text that an arm's runs exported, means over seeds; None if no run exported text.

    A statistic that is missing in one of the runs is None. Shares by class are left out: each run's result has them.
    """
    statistics = [result["generated"]["quality"] for result in results if result["generated"] is not None]
    if not statistics:
        return None
    means: dict[str, float | None] = {}
    for key in (key for key in statistics[0] if key not in ("classes", "wanted")):
        values = [run_statistics[key] for run_statistics in statistics]
        means[key] = None if None in values else float(np.mean(values))
    return means


def _uneven_steps(arms: list[Arm]) -> list[str]:
    """Warnings about seeds for which the arms took different numbers of student steps."""
    warnings = []
    for seed in sorted({seed for arm in arms for seed in arm.results}):
        steps = {arm.name: arm.results[seed]["steps"].get("student", 0) for arm in arms if seed in arm.results}
        if len(set(steps.values())) > 1:
            counts = ", ".join(f"{name} {count}" for name, count in steps.items())
            warnings.append(f"seed {seed}: student steps differ ({counts}), so the arms had different budgets")
    return warnings


def _resampled_scores(
    arms: Sequence[Arm], task: TaskConfig, split: str, metric: str, known: Collection[tuple[str, int]] = ()
) -> dict[tuple[str, int], np.ndarray]:
    """The metric of every finished run on bootstrap resamples of the examples, which all runs share.

    Args:
        arms: arms with their results.
        task: task of the runs.
        split: split of the rows.
        metric: name of the metric.
        known: (arm, seed) of runs that are left out.

    Returns:
        (arm, seed) → values, [resamples].
    """
    runs = read_runs(arms, task, split, metric)
    new = [i for i, key in enumerate(runs[0]) if key not in known] if runs else []
    if runs is None or not new:
        return {}
    keys, rows = runs
    values = resampling.resample(metric, rows.gold, rows.predicted[new], domains=rows.domains, clusters=rows.groups)
    return {keys[run]: values[:, column] for column, run in enumerate(new)}
