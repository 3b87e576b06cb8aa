"""`method.domain=all`: one run for each domain of the task, put together as one result.

Each domain's run is a run like any other, in `domains/<name>/` of the folder; the teacher that they share is trained
by the first and found in the cache by the others. The result has the same keys as theirs: scores by domain and their
plain mean, predictions of all domains' rows, sums of rows, steps and seconds.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kdrun import assembly
from kdrun.config import Config
from kdrun.evaluation import mean_over_domains
from kdrun.results import RunFolder, provenance
from kdrun.screen import Screen, number

Runner = Callable[[Config, Screen, list[str]], dict[str, Any] | None]
SUMMED = ("train_rows_read", "labels_read", "ood_rows_read")


def of_domain(config: Config, domain: str, folder: Path | None) -> Config:
    """The config of one domain's run."""
    method = dataclasses.replace(config.method, domain=domain)
    run_dir = None if folder is None else str(folder / "domains" / domain)
    return dataclasses.replace(config, method=method, run_dir=run_dir)


def words_of(words: list[str], domain: str) -> list[str]:
    """The words that repeat one domain's run."""
    return [w for w in words if not w.startswith(("method.domain=", "run_dir="))] + [f"method.domain={domain}"]


def carry_out(config: Config, screen: Screen, words: list[str], folder: RunFolder, command: str, run: Runner) -> Any:
    """Run every domain of the task and write what they come to.

    Args:
        config: with `method.domain=all`.
        screen: where to print.
        words: the overrides it was composed from.
        folder: of the whole.
        command: that repeats the whole.
        run: carries out one domain's run.

    Returns:
        The content of result.json.
    """
    made: dict[str, dict[str, Any]] = {}
    for i, domain in enumerate(config.task.domains):
        screen.say(f"domain {i + 1} of {len(config.task.domains)}: {domain}")
        result = run(of_domain(config, domain, folder.path), screen, words_of(words, domain))
        assert result is not None
        made[domain] = result
    folder.predictions(_predictions(folder.path, list(made)))
    fingerprint = assembly.load_data(config).fingerprint
    result = merged(made, config) | {"provenance": provenance(config, fingerprint, command)}
    _report(result, screen)
    return result


def _predictions(folder: Path, domains: list[str]) -> Any:
    """The rows of all domains' predictions.jsonl, numbered through within each split."""
    seen: dict[str, int] = {}
    for domain in domains:
        with (folder / "domains" / domain / "predictions.jsonl").open(encoding="utf-8") as file:
            for row in map(json.loads, file):
                row["id"] = seen[row["split"]] = seen.get(row["split"], -1) + 1
                yield row


def merged(made: dict[str, dict[str, Any]], config: Config) -> dict[str, Any]:
    """The results of all domains as one: means of scores, sums of rows, steps and seconds."""
    results = list(made.values())
    first = results[0]
    split, metric = first["headline"]["split"], first["headline"]["metric"]
    whole = dict(first)
    for role in ("student", "teacher"):
        if first[role] is not None:
            whole[role] = first[role] | {"metrics": _mean([r[role]["metrics"] for r in results], config)}
    whole["guess"] = _mean([result["guess"] for result in results], config)
    value = whole["student"]["metrics"][split][metric]
    top = whole["teacher"]["metrics"][split][metric] if whole["teacher"] else None
    whole["retention"] = value / top if value is not None and top else None
    whole["data"] = first["data"] | {key: sum(r["data"][key] for r in results) for key in SUMMED}
    whole["data"]["rows"] = {name: sum(r["data"]["rows"][name] for r in results) for name in first["data"]["rows"]}
    note = "of each domain's own" if first["checkpoint"]["split"] else None
    whole["checkpoint"] = first["checkpoint"] | {"step": None, "note": note}
    seconds = {key: sum(r["time"][key] or 0 for r in results) for key in ("total_s", "train_s")}
    rates = [r["time"]["examples_per_s"] for r in results]
    whole["time"] = seconds | {"examples_per_s": sum(rates) / len(rates) if None not in rates else None}
    whole["steps"] = {role: sum(r["steps"][role] for r in results) for role in first["steps"]}
    whole["domains"] = {
        name: {"run_dir": f"domains/{name}", "score": r["student"]["metrics"][split][metric], "retention": r["retention"]}
        for name, r in made.items()
    }
    whole["reasons"] = {key: text for result in results for key, text in result["reasons"].items()}
    return whole


def _mean(scores: list[dict[str, dict[str, float | None]]], config: Config) -> dict[str, dict[str, float | None]]:
    """Each split's metrics with a value for every domain, and their plain means."""
    splits = {}
    for split in scores[0]:
        values = {key: value for part in scores for key, value in part[split].items() if "_" in key}
        splits[split] = {name: mean_over_domains(name, values) for name in config.task.metrics} | values
    return splits


def _report(result: dict[str, Any], screen: Screen) -> None:
    split, metric = result["headline"]["split"], result["headline"]["metric"]
    scores = {role: result[role]["metrics"][split] if result[role] else {} for role in ("teacher", "student")}
    rows = [
        [name, number(scores["teacher"].get(f"{metric}_{name}")), number(scores["student"].get(f"{metric}_{name}"))]
        for name in result["domains"]
    ]
    rows.append(["mean", number(scores["teacher"].get(metric)), number(scores["student"][metric])])
    title = f"{result['method']} on {result['data']['name']}, {metric} on {split}"
    screen.table(title, ["domain", "teacher", "student"], rows)
