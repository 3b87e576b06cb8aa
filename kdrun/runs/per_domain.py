"""Run one student per domain and merge the results.

Each domain's run is a run like any other, in `domains/<name>/` of the folder, with the whole's `run_id` as `group` in
its line of the ledger; the teacher that they share is trained by the first and found in the cache by the others. A run
of the whole that was stopped goes on with the domain that it was stopped in; where an equal one failed, the domains
that it finished are taken from its folder. The result has the same
keys as theirs: scores by domain and their plain mean, predictions of all domains' rows in the order of the whole
split, sums of rows, steps and seconds.
"""

from __future__ import annotations

import dataclasses
import json
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
from kdrun.storage.ledger import RunKey, finished_subruns, read_runs
from kdrun.tasks.evaluator import Scores

Runner = Callable[[RunConfig, Console, Sequence[str], str], dict[str, Any] | None]
"""Carries out a run as part of another: its config, where to print, its words, the other's `run_id`."""
SUMMED = ("train_rows_read", "labels_read", "ood_rows_read")


def first_domain_config(config: RunConfig) -> RunConfig:
    """The run itself, or that of the first domain where it is one of each: what a dry run tries."""
    return of_domain(config, config.task.domains[0], None) if domains.is_per_domain(config.method) else config


def of_domain(config: RunConfig, domain: str, folder: Path | None) -> RunConfig:
    """The config of one domain's run."""
    method = dataclasses.replace(config.method, domain=domain)
    run_dir = None if folder is None else str(folder / "domains" / domain)
    return dataclasses.replace(config, method=method, run_dir=run_dir)


def domain_overrides(words: Sequence[str], domain: str) -> list[str]:
    """The words that repeat one domain's run."""
    return [w for w in words if not w.startswith(("method.domain=", "run_dir="))] + [f"method.domain={domain}"]


def run_domains(
    config: RunConfig, console: Console, words: Sequence[str], folder: RunDirectory, command: str, run: Runner
) -> Any:
    """Run every domain of the task and write what they come to.

    Args:
        config: with `method.domain=all`.
        screen: where to print.
        words: the overrides it was composed from.
        folder: of the whole.
        command: that repeats the whole.
        run: carries out one domain's run as part of this one.

    Returns:
        The content of result.json.
    """
    made: dict[str, dict[str, Any]] = {}
    folders: dict[str, Path] = {}
    there = finished_subruns(read_runs(folder.ledger))
    for i, domain in enumerate(config.task.domains):
        part = of_domain(config, domain, folder.path)
        known, told = _finished(part, there), f"domain {i + 1} of {len(config.task.domains)}: {domain}"
        console.print(told if known is None else f"{told}, taken from {known}")
        if known is None:
            known = folder.path / "domains" / domain
            run(part, console, domain_overrides(words, domain), folder.run_id)
        made[domain] = json.loads((known / "result.json").read_text(encoding="utf-8"))
        folders[domain] = known
    data = run_data.load_run_data(config)
    folder.predictions(_predictions(folders, data))
    result = merge_results(made, data) | {"provenance": provenance(config, data.fingerprint, command)}
    for domain, place in folders.items():
        result["domains"][domain]["run_dir"] = Path(os.path.relpath(place, folder.path)).as_posix()
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
        with (folder / "predictions.jsonl").open(encoding="utf-8") as file:
            for row in map(json.loads, file):
                found.setdefault((row["split"], domain), []).append(row)
    rows = {key: iter(part) for key, part in found.items()}
    for split in data.task.dev_splits:
        ids = data.splits[split].domains()
        assert ids is not None
        for place, k in enumerate(ids.tolist()):
            yield next(rows[split, data.task.domains[k]]) | {"id": place}


def merge_results(made: dict[str, dict[str, Any]], data: TaskDataset) -> dict[str, Any]:
    """The results of all domains as one: means of scores, sums of rows, steps and seconds."""
    results, metrics = list(made.values()), data.task.metrics
    first = results[0]
    split, metric = first["headline"]["split"], first["headline"]["metric"]
    whole = dict(first)
    for role in ("student", "teacher"):
        if first[role] is not None:
            whole[role] = first[role] | {"metrics": _mean([r[role]["metrics"] for r in results], metrics)}
    whole["guess"] = _mean([result["guess"] for result in results], metrics)
    value = whole["student"]["metrics"][split][metric]
    top = whole["teacher"]["metrics"][split][metric] if whole["teacher"] else None
    whole["retention"] = value / top if value is not None and top else None
    whole["data"] = first["data"] | {key: sum(r["data"][key] for r in results) for key in SUMMED}
    whole["data"]["name"] = data.display_name
    whole["data"]["rows"] = {name: sum(r["data"]["rows"][name] for r in results) for name in first["data"]["rows"]}
    counts = [r["data"]["rows_by_domain"] for r in results]
    whole["data"]["rows_by_domain"] = {
        split: {name: sum(part[split][name] for part in counts) for name in counts[0][split]} for split in counts[0]
    }
    note = "of each domain's own" if first["checkpoint"]["split"] else None
    whole["checkpoint"] = first["checkpoint"] | {"step": None, "note": note}
    seconds = {key: sum(r["time"][key] or 0 for r in results) for key in ("total_s", "train_s")}
    seen = sum((r["time"]["examples_per_s"] or 0) * r["time"]["train_s"] for r in results)
    whole["time"] = seconds | {"examples_per_s": round(seen / seconds["train_s"], 1) if seconds["train_s"] else None}
    whole["steps"] = {role: sum(r["steps"][role] for r in results) for role in first["steps"]}
    whole["domains"] = {
        name: {
            "score": r["student"]["metrics"][split][metric],
            "retention": r["retention"],
        }
        for name, r in made.items()
    }
    whole["data"]["train_rows_read_for_teacher"] = None
    whole["reasons"] = {key: text for result in results for key, text in result["reasons"].items()}
    whole["reasons"]["data.train_rows_read_for_teacher"] = "each domain's own run says what its teacher read"
    return whole


def _mean(scores: list[Scores], metrics: Sequence[str]) -> Scores:
    """Each split's metrics: the plain mean over the domains, then each domain's own."""
    splits: Scores = {}
    for split in scores[0]:
        found: dict[str, float | None] = {}
        for metric in metrics:
            values = [value for part in scores if (value := part[split][metric]) is not None]
            found[metric] = sum(values) / len(values) if len(values) == len(scores) else None
        own = {key: value for part in scores for key, value in part[split].items() if key not in metrics}
        splits[split] = found | own
    return splits


def _report(result: dict[str, Any], console: Console) -> None:
    split, metric = result["headline"]["split"], result["headline"]["metric"]
    scores = {role: result[role]["metrics"][split] if result[role] else {} for role in ("teacher", "student")}
    rows = [
        [
            name,
            number(scores["teacher"].get(f"{metric}_{name}")),
            number(scores["student"].get(f"{metric}_{name}")),
        ]
        for name in result["domains"]
    ]
    rows.append(["mean", number(scores["teacher"].get(metric)), number(scores["student"][metric])])
    title = f"{result['method']} on {result['data']['name']}, {metric} on {split}"
    console.table(title, ["domain", "teacher", "student"], rows)
