"""Run one student per domain and merge the results.

Each domain has an ordinary run in `domains/<name>/` of the folder, with the `run_id` of the whole run as `group` in its
ledger line. The first run trains the shared teacher; the others read it from the cache. A stopped run resumes with the
interrupted domain. If an equal run failed, its finished domains are reused. The merged result has the keys of a single
result: scores by domain and their mean, predictions in the order of the whole split, sums of rows, steps and seconds.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdrun.config import domains
from kdrun.config.identity import config_hash
from kdrun.config.schema import RunConfig
from kdrun.console import Console
from kdrun.data import run_data
from kdrun.data.dataset import TaskDataset
from kdrun.formatting import number
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
    TimeResult,
    headline_score,
    read_result,
)

Runner = Callable[[RunConfig, Console, Sequence[str], str], RunResult | None]
"""Runs one config as part of another run: config, console, overrides, `run_id` of the other."""


def first_domain_config(config: RunConfig) -> RunConfig:
    """Config that a dry run tries: the run, or its first domain if it is a per-domain run."""
    return of_domain(config, config.task.domains[0], None) if domains.is_per_domain(config.method) else config


def of_domain(config: RunConfig, domain: str, folder: Path | None) -> RunConfig:
    """The config of one domain's run."""
    method = dataclasses.replace(config.method, domain=domain)
    run_dir = None if folder is None else str(folder / "domains" / domain)
    return dataclasses.replace(config, method=method, run_dir=run_dir)


def domain_overrides(words: Sequence[str], domain: str) -> list[str]:
    """Overrides that repeat the run of one domain."""
    return [w for w in words if not w.startswith(("method.domain=", "run_dir="))] + [f"method.domain={domain}"]


def run_domains(
    config: RunConfig, console: Console, overrides: Sequence[str], run_dir: RunDirectory, run: Runner
) -> RunResult:
    """Run every domain of the task and write the merged result.

    Args:
        config: with `method.domain=all`.
        console: where to print.
        overrides: overrides that it was composed from.
        run_dir: folder of the whole run.
        run: runs one domain as part of this run.

    Returns:
        The content of result.json.
    """
    results: dict[str, RunResult] = {}
    folders: dict[str, Path] = {}
    there = finished_subruns(read_runs(run_dir.ledger))
    for i, domain in enumerate(config.task.domains):
        part = of_domain(config, domain, run_dir.path)
        known, told = _finished(part, there), f"domain {i + 1} of {len(config.task.domains)}: {domain}"
        console.print(told if known is None else f"{told}, taken from {known}")
        if known is None:
            known = run_dir.path / "domains" / domain
            run(part, console, domain_overrides(overrides, domain), run_dir.run_id)
        results[domain] = read_result(known / RESULT)
        folders[domain] = known
    data = run_data.load_run_data(config)
    run_dir.predictions(_predictions(folders, data))
    run_dirs = {domain: Path(os.path.relpath(place, run_dir.path)).as_posix() for domain, place in folders.items()}
    result = merge_results(results, run_dirs, data)
    result["provenance"] = provenance(config, data.fingerprint, run_dir.command)
    _report(result, console)
    return result


def _finished(config: RunConfig, there: Mapping[RunKey, Path]) -> Path | None:
    """The folder of a finished run equal to this one; rows are read only where the config and the code are equal."""
    wanted = config_hash(config), code_digest()
    if not any(key[:2] == wanted for key in there):
        return None
    return there.get((*wanted, run_data.load_run_data(config).fingerprint))


def _predictions(folders: Mapping[str, Path], data: TaskDataset) -> Iterator[dict[str, Any]]:
    """The rows of all domains' predictions.jsonl in the order of the whole splits, so that other runs' pair up."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for domain, folder in folders.items():
        for row in read_jsonl(folder / "predictions.jsonl"):
            found.setdefault((row["split"], domain), []).append(row)
    rows = {key: iter(part) for key, part in found.items()}
    for split in data.task.dev_splits:
        ids = data.splits[split].domains()
        assert ids is not None
        for place, k in enumerate(ids.tolist()):
            yield next(rows[split, data.task.domains[k]]) | {"id": place}


def merge_results(results: Mapping[str, RunResult], run_dirs: Mapping[str, str], data: TaskDataset) -> RunResult:
    """The results of all domains as one: means of scores, sums of rows, steps and seconds.

    Args:
        results: domain → its run's result.
        run_dirs: domain → its run's folder, relative to the whole run's.
        data: rows of all domains.
    """
    parts, metrics = list(results.values()), data.task.metrics
    first = parts[0]
    headline = first["headline"]
    student = _merge_models([part["student"] for part in parts], metrics)
    teachers = [part["teacher"] for part in parts if part["teacher"] is not None]
    teacher = _merge_models(teachers, metrics) if teachers else None
    value, top = headline_score(headline, student), headline_score(headline, teacher)
    note = "of each domain's own" if first["checkpoint"]["split"] else None
    reasons = {key: text for part in parts for key, text in part["reasons"].items()}
    return {
        **first,
        "student": student,
        "teacher": teacher,
        "guess": _mean_scores([part["guess"] for part in parts], metrics),
        "retention": value / top if value is not None and top else None,
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


def _merge_models(models: list[ModelResult], metrics: Sequence[str]) -> ModelResult:
    return {**models[0], "metrics": _mean_scores([model["metrics"] for model in models], metrics)}


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
    """Each split's metrics: the plain mean over the domains, then each domain's own."""
    merged: Scores = {}
    for split in scores[0]:
        means: dict[str, float | None] = {}
        for metric in metrics:
            values = [value for part in scores if (value := part[split][metric]) is not None]
            means[metric] = sum(values) / len(values) if len(values) == len(scores) else None
        by_domain = {key: value for part in scores for key, value in part[split].items() if key not in metrics}
        merged[split] = means | by_domain
    return merged


def _report(result: RunResult, console: Console) -> None:
    split, metric = result["headline"]["split"], result["headline"]["metric"]
    teacher = result["teacher"]["metrics"][split] if result["teacher"] else {}
    student = result["student"]["metrics"][split]
    keys = {name: f"{metric}_{name}" for name in result.get("domains", {})} | {"mean": metric}
    rows = [[name, number(teacher.get(key)), number(student.get(key))] for name, key in keys.items()]
    title = f"{result['method']} on {result['data']['name']}, {metric} on {split}"
    console.table(title, ["domain", "teacher", "student"], rows)
