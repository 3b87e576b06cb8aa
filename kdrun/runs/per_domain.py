"""Run one student per domain and merge the results.

Each domain has an ordinary run in `domains/<name>/` of the folder, with the `run_id` of the whole run as `group` in its
ledger line. The first run trains the shared teacher; the others read it from the cache. A stopped run resumes with the
interrupted domain. If an equal run failed, its finished domains are reused. The merged result has the keys of a single
result: scores by domain and their mean, predictions in the order of the whole split, sums of rows, steps and seconds.

This module is in `runs` rather than in `experiments` because `runs.runner.run` calls it: with `method.domain=all` a
user's single run, with one folder and one result, consists of several.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from kdrun.config import domains
from kdrun.config.identity import config_hash
from kdrun.config.schema import RunConfig
from kdrun.console import Console
from kdrun.data import run_data
from kdrun.data.dataset import TaskDataset
from kdrun.formatting import percent
from kdrun.runs.provenance import code_digest, provenance
from kdrun.runs.run_dir import RunDirectory
from kdrun.storage.files import read_jsonl
from kdrun.storage.ledger import RunKey, finished_subruns, read_runs
from kdrun.storage.run_result import (
    RESULT,
    DataResult,
    ModelResult,
    RunResult,
    Scores,
    TeacherModelResult,
    TimeResult,
    headline_score,
    read_result,
)
from kdrun.tasks.agreement import AGREEMENT, TEACHER_KL
from kdrun.tasks.metrics import mean_over_domains

AGREEMENTS = (AGREEMENT, TEACHER_KL)
"""Measures of agreement that are averaged over domains."""
M = TypeVar("M", ModelResult, TeacherModelResult)
Runner = Callable[[RunConfig, Console, Sequence[str], str], RunResult | None]
"""Function that runs a part of a run: config, console, overrides, `run_id` of the whole run."""


def first_domain_config(config: RunConfig) -> RunConfig:
    """Config of a dry run: the config itself, or that of the first domain of a per-domain run."""
    return of_domain(config, config.task.domains[0], None) if domains.is_per_domain(config.method) else config


def of_domain(config: RunConfig, domain: str, folder: Path | None) -> RunConfig:
    """The config of one domain's run."""
    method = dataclasses.replace(config.method, domain=domain)
    run_dir = None if folder is None else str(folder / "domains" / domain)
    return dataclasses.replace(config, method=method, run_dir=run_dir)


def domain_overrides(overrides: Sequence[str], domain: str) -> list[str]:
    """Overrides that repeat the run of one domain."""
    return [o for o in overrides if not o.startswith(("method.domain=", "run_dir="))] + [f"method.domain={domain}"]


def run_domains(
    config: RunConfig, console: Console, overrides: Sequence[str], run_dir: RunDirectory, run: Runner
) -> RunResult:
    """Run every domain of the task and write the merged result.

    Args:
        config: config with `method.domain=all`.
        console: where to print.
        overrides: overrides that the config was composed from.
        run_dir: folder of the whole run.
        run: runs one domain as a part of this run.

    Returns:
        The content of result.json.
    """
    results: dict[str, RunResult] = {}
    folders: dict[str, Path] = {}
    finished_folders = finished_subruns(read_runs(run_dir.ledger))
    for i, domain in enumerate(config.task.domains):
        domain_config = of_domain(config, domain, run_dir.path)
        folder, title = _find_finished(domain_config, finished_folders), f"domain {i + 1} of {len(config.task.domains)}"
        console.print(f"{title}: {domain}" if folder is None else f"{title}: {domain}, reused, {folder}")
        if folder is None:
            folder = run_dir.path / "domains" / domain
            run(domain_config, console, domain_overrides(overrides, domain), run_dir.run_id)
        results[domain] = read_result(folder / RESULT)
        folders[domain] = folder
    data = run_data.load_run_data(config)
    run_dir.predictions(_predictions(folders, data))
    run_dirs = {domain: Path(os.path.relpath(folder, run_dir.path)).as_posix() for domain, folder in folders.items()}
    result = merge_results(results, run_dirs, data)
    result["provenance"] = provenance(config, data.fingerprint, run_dir.command)
    _print_scores(result, console)
    return result


def _find_finished(config: RunConfig, finished_folders: Mapping[RunKey, Path]) -> Path | None:
    """The folder of a finished run with the same key; the rows are read only if config and code are equal."""
    config_and_code = config_hash(config), code_digest()
    if not any(key[:2] == config_and_code for key in finished_folders):
        return None
    return finished_folders.get((*config_and_code, run_data.load_run_data(config).fingerprint))


def _predictions(folders: Mapping[str, Path], data: TaskDataset) -> Iterator[dict[str, Any]]:
    """The predictions of all domains in the order of the whole splits, so that they pair with those of other runs."""
    by_split_and_domain: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for domain, folder in folders.items():
        for row in read_jsonl(folder / "predictions.jsonl", {"split": str}):
            by_split_and_domain.setdefault((row["split"], domain), []).append(row)
    rows = {key: iter(domain_rows) for key, domain_rows in by_split_and_domain.items()}
    for split in data.task.dev_splits:
        domain_ids = data.splits[split].domains()
        assert domain_ids is not None
        for row_id, domain_id in enumerate(domain_ids.tolist()):
            yield next(rows[split, data.task.domains[domain_id]]) | {"id": row_id}


def merge_results(results: Mapping[str, RunResult], run_dirs: Mapping[str, str], data: TaskDataset) -> RunResult:
    """Merge the results of all domains: means of scores; sums of rows, steps and seconds.

    Args:
        results: domain → result of its run.
        run_dirs: domain → folder of its run, relative to the folder of the whole run.
        data: rows of all domains.
    """
    parts, metrics = list(results.values()), data.task.metrics
    first = parts[0]
    headline = first["headline"]
    student = _merge_models([part["student"] for part in parts], metrics)
    teachers = [part["teacher"] for part in parts if part["teacher"] is not None]
    teacher = _merge_models(teachers, metrics) if teachers else None
    score, teacher_score = headline_score(headline, student), headline_score(headline, teacher)
    note = "of each domain's own" if first["checkpoint"]["split"] else None
    reasons = {key: text for part in parts for key, text in part["reasons"].items()}
    agreement = [part["agreement"] for part in parts if "agreement" in part]
    merged: RunResult = {
        **first,
        "student": student,
        "teacher": teacher,
        "guess": _mean_scores([part["guess"] for part in parts], metrics),
        "retention": score / teacher_score if score is not None and teacher_score else None,
        "data": _merge_data([part["data"] for part in parts], data.display_name),
        "checkpoint": {**first["checkpoint"], "step": None, "note": note},
        "time": _merge_time([part["time"] for part in parts]),
        "steps": {role: sum(part["steps"][role] for part in parts) for role in first["steps"]},
        "domains": {
            name: {
                "score": headline_score(headline, part["student"]),
                "retention": part["retention"],
                "run_dir": run_dirs[name],
            }
            for name, part in results.items()
        },
        "reasons": {
            **reasons,
            "data.train_rows_read_for_teacher": "each domain's own run says what its teacher read",
        },
    }
    if agreement:
        merged["agreement"] = _mean_scores(agreement, AGREEMENTS)
    return merged


def _merge_models(models: list[M], metrics: Sequence[str]) -> M:
    merged = models[0].copy()
    merged["metrics"] = _mean_scores([model["metrics"] for model in models], metrics)
    return merged


def _merge_data(parts: list[DataResult], name: str) -> DataResult:
    first = parts[0]
    return {
        **first,
        "name": name,
        "train_rows_read": sum(part["train_rows_read"] for part in parts),
        "labels_read": sum(part["labels_read"] for part in parts),
        "ood_rows_read": sum(part["ood_rows_read"] for part in parts),
        "train_rows_read_for_teacher": None,
        "rows": {split: sum(part["rows"][split] for part in parts) for split in first["rows"]},
        "rows_by_domain": {
            split: {name: sum(part["rows_by_domain"][split][name] for part in parts) for name in counts}
            for split, counts in first["rows_by_domain"].items()
        },
    }


def _merge_time(parts: list[TimeResult]) -> TimeResult:
    train_s = sum(part["train_s"] or 0 for part in parts)
    examples = sum((part["examples_per_s"] or 0) * part["train_s"] for part in parts)
    return {
        "total_s": sum(part["total_s"] or 0 for part in parts),
        "train_s": train_s,
        "examples_per_s": round(examples / train_s, 1) if train_s else None,
    }


def _mean_scores(scores: list[Scores], metrics: Sequence[str]) -> Scores:
    """Per split, the mean of each metric over domains, then the metrics of each domain."""
    merged: Scores = {}
    for split in scores[0]:
        means = mean_over_domains(metrics, [part[split] for part in scores])
        by_domain = {key: value for part in scores for key, value in part[split].items() if key not in metrics}
        merged[split] = means | by_domain
    return merged


def _print_scores(result: RunResult, console: Console) -> None:
    """Print teacher and student scores per domain, and their means."""
    split, metric = result["headline"]["split"], result["headline"]["metric"]
    teacher = result["teacher"]["metrics"][split] if result["teacher"] else {}
    student = result["student"]["metrics"][split]
    keys = {name: f"{metric}_{name}" for name in result.get("domains", {})} | {"mean": metric}
    rows = [[name, percent(teacher.get(key)), percent(student.get(key))] for name, key in keys.items()]
    title = f"{result['method']} on {result['data']['name']}, {metric} on {split}"
    console.table(title, ["domain", "teacher", "student"], rows)
