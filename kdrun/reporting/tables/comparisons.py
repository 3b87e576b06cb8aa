"""Verdicts and arms of comparisons."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from kdrun.formatting import NOT_MEASURED, first_line, percent
from kdrun.reporting.tables import comparison_notes, metric_format, run_facts, searches
from kdrun.reporting.tables.render import TextTable, csv_percent

Comparison = dict[str, Any]
SHARED = ["task", "metric", "student", "settings", "seeds", "teacher", "majority baseline"]
"""Columns that all rows of a comparison share."""
COMPARISON_OPTIONS = ("baselines", "seeds", "margin", "metric", "claims", "until", "max_seeds", "tune")
"""Options of `kdrun compare` that are not settings of its runs."""


def verdict_table(records: list[Comparison], methods: list[str], digits: int) -> TextTable:
    """Build the table of verdicts: one row per comparison and pair, with the difference and its confidence interval.

    Args:
        records: records of the comparisons.
        methods: only pairs with at least one arm of these methods; empty for all.
        digits: decimals of a percentage.
    """
    table_rows, csv_rows = [], []
    for record in records:
        arms = {arm["name"]: arm for arm in record["arms"]}
        for pair in record["pairs"]:
            if methods and not any(method_of(arms[pair[side]]) in methods for side in "ab"):
                continue
            sides = [f"{pair[side]} {_mean(record, arms[pair[side]], digits)}" for side in "ab"]
            cells = [*sides, _difference(record, pair, digits), _verdict(record, pair)]
            table_rows.append([*_shared_cells(record, digits), *cells])
            csv_rows.append(csv_values(record) | _pair_values(record, arms, pair))
    table_notes = [*_baseline_note(records), *notes(records), *comparison_notes.interval_notes(records)]
    return TextTable(
        caption(records),
        [*SHARED, "a", "b", "a − b", "verdict"],
        table_rows,
        csv_rows,
        table_notes,
        left=(*range(9), 10),
    )


def arm_table(records: list[Comparison], methods: list[str], digits: int) -> TextTable:
    """Build the table of arms: one row per comparison and arm, with each seed's score, the retention and the cost."""
    table_rows, csv_rows = [], []
    for record in records:
        for arm in record["arms"]:
            if methods and method_of(arm) not in methods:
                continue
            num_scores = sum(score is not None for score in arm["scores"].values())
            mean = f"{_mean(record, arm, digits)} ({num_scores})" if arm["mean"] is not None else NOT_MEASURED
            scores = ", ".join(_one_seed(record, arm, str(seed), digits) for seed in record["seeds"])
            retention = percent(arm["kept"], digits)
            table_rows.append(
                [
                    *_shared_cells(record, digits, arm),
                    arm["name"],
                    mean,
                    scores,
                    retention,
                    _training_time(arm),
                    _steps(arm),
                ]
            )
            line = {
                "arm": arm["name"],
                "mean": metric_format.csv_score(record["metric"], arm["mean"]),
                "sd": metric_format.csv_score(record["metric"], arm["sd"]),
                "n": num_scores,
            }
            scores = (f"{seed}:{metric_format.csv_score(record['metric'], s)}" for seed, s in arm["scores"].items())
            line |= {"scores": " ".join(scores), "kept": csv_percent(arm["kept"])}
            line |= {"train_seconds": _csv_value(arm["seconds"]), "steps": _steps(arm)}
            csv_rows.append(csv_values(record, arm) | line)
    columns = [*SHARED, "arm", "mean ± sd (n)", "each seed", "retention", "training time per run", "steps"]
    table_notes = [*_baseline_note(records), *notes(records), *failures(records)]
    return TextTable(caption(records), columns, table_rows, csv_rows, table_notes, left=(*range(8), 9, 12))


TEACHER_DIGITS = 9
"""Digits to which the scores of one teacher agree: means over domains are summed in two orders."""


def teacher_key(teacher: dict[str, Any]) -> tuple[Any, ...]:
    """Return a key that is equal for two arms with the same teacher: its name, strategy and scores."""
    scores = [teacher["score"], *(of["mean"] for of in teacher["by_domain"].values())]
    rounded = (None if score is None else round(score, TEACHER_DIGITS) for score in scores)
    return teacher["name"], teacher["lessons"], *rounded


def distinct_teachers(record: Comparison) -> list[dict[str, Any]]:
    """Return the distinct teachers of the arms; empty for records of older versions, which have one for all."""
    teachers = [arm["teacher"] for arm in record["arms"] if arm.get("teacher")]
    return list({teacher_key(teacher): teacher for teacher in teachers}.values())


def method_of(arm: dict[str, Any]) -> str:
    """Return the method of an arm from its overrides; without such an override, the arm's name is the method."""
    methods = [override.partition("=")[2] for override in arm["words"] if override.startswith("method=")]
    return methods[-1] if methods else arm["name"]


def settings_of(record: Comparison) -> str:
    """Return the preset of a comparison, the settings beyond it that have no column, and the trials of tuned arms."""
    args = [arg for arg in shlex.split(record["command"]) if arg.partition("=")[0] not in COMPARISON_OPTIONS]
    settings = f"preset={record['preset']} {run_facts.other_settings(shlex.join(args))}".rstrip()
    return f"{settings}, {searches.tuning_text(record)}" if record.get("tuned") else settings


def leading_cells(record: Comparison) -> list[str]:
    """Return the cells of the first five columns of `SHARED`."""
    seeds = ", ".join(str(seed) for seed in record["seeds"])
    student = record["student"] or NOT_MEASURED
    return [run_facts.task_name(record), record["metric"], student, settings_of(record), seeds]


def _shared_cells(record: Comparison, digits: int, arm: dict[str, Any] | None = None) -> list[str]:
    """Return the cells of `SHARED`, with the teacher of the arm; without an arm, with all distinct teachers."""
    distinct = distinct_teachers(record)
    if len(distinct) > 1 and arm is not None:
        teacher = _teacher(record, arm["teacher"], digits) if arm.get("teacher") else "none"
    elif len(distinct) > 1:
        teacher = "; ".join(_teacher(record, teacher, digits) for teacher in distinct)
    else:
        teacher = _teacher(record, record["teacher"], digits) if record.get("teacher") else "none"
    guess = metric_format.score(record["metric"], record.get("guess"), digits, unit=False)
    return [*leading_cells(record), teacher, guess]


def _teacher(record: Comparison, teacher: dict[str, Any], digits: int) -> str:
    score = metric_format.score(record["metric"], teacher["score"], digits, unit=False)
    return " ".join(part for part in (teacher["name"], teacher.get("lessons"), score) if part)


def _mean(record: Comparison, arm: dict[str, Any], digits: int) -> str:
    return metric_format.score_sd(record["metric"], arm["mean"], arm["sd"], digits, unit=False)


def _one_seed(record: Comparison, arm: dict[str, Any], seed: str, digits: int) -> str:
    if seed in (arm.get("failed") or {}):
        return "failed"
    return metric_format.score(record["metric"], arm["scores"].get(seed), digits, unit=False)


def _difference(record: Comparison, pair: dict[str, Any], digits: int) -> str:
    if pair["difference"] is None:
        return NOT_MEASURED
    value, *ends = (
        metric_format.difference(record["metric"], number, digits, minus="-")
        for number in (pair["difference"], *(pair["interval"] or ()))
    )
    return f"{value} [{', '.join(ends) or NOT_MEASURED}]"


def is_open(record: Comparison, pair: dict[str, Any]) -> bool:
    """Return whether a pair of an unfinished comparison may still be decided."""
    return not record.get("finished", True) and pair["word"] == "INCONCLUSIVE"


def _verdict(record: Comparison, pair: dict[str, Any]) -> str:
    """Return the verdict, with the number of seeds that would decide if more are needed."""
    needed = pair.get("seeds_needed")
    remarks = ["so far"] if is_open(record, pair) else []
    remarks += [f"about {needed} seeds would decide"] if needed and needed > pair["seeds"] else []
    remarks += [] if pair.get("asked", True) else ["not asked"]
    return f"{pair['word']} ({', '.join(remarks)})" if remarks else pair["word"]


def _training_time(arm: dict[str, Any]) -> str:
    seconds = arm["seconds"]
    if seconds is None:
        return NOT_MEASURED
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _steps(arm: dict[str, Any]) -> str:
    return ", ".join(f"{role} {count}" for role, count in (arm.get("steps") or {}).items()) or NOT_MEASURED


def caption(records: list[Comparison]) -> str:
    """Describe the numbers of comparisons, and whether their arms were tuned; the settings name the trials."""
    splits = dict.fromkeys(record["split"] for record in records)
    texts = {searches.tuning_text(record) for record in records}
    tuning = ", untuned" if texts == {searches.UNTUNED} else ", untuned unless the settings name trials"
    described = f"{_units(records)} on {', '.join(splits)}, mean ± standard deviation over seeds"
    return f"{described}{tuning}" if searches.UNTUNED in texts else described


def _units(records: list[Comparison]) -> str:
    """Return the units of the scores: percent, nats or both."""
    units = dict.fromkeys("nats" if metric_format.is_lower_better(r["metric"]) else "percent" for r in records)
    return " and ".join(units).capitalize() if units else "Percent"


def _baseline_note(records: list[Comparison]) -> Iterator[str]:
    if any(record.get("guess") is not None for record in records):
        yield "majority baseline: the score of always predicting the most frequent class, or the mean score."
    yield from metric_format.unit_notes(record["metric"] for record in records)


def notes(records: list[Comparison]) -> Iterator[str]:
    """Yield the notes that apply to all rows of a comparison."""
    synthetic = dict.fromkeys(run_facts.task_name(record) for record in records if record.get("synthetic"))
    if synthetic:
        yield f"Synthetic data, generated by a grammar: {', '.join(synthetic)}. None of its numbers is a GLUE score."
    tasks_by_choice: dict[tuple[str | None, str], dict[str, None]] = {}
    for record in records:
        tasks_by_choice.setdefault((record.get("chosen_on"), record["split"]), {})[run_facts.task_name(record)] = None
    for (chosen_on, split), names in tasks_by_choice.items():
        reported = "the split" if chosen_on == split else split
        choice = f"chosen on {chosen_on}, {reported} reported" if chosen_on else "the last one, or different choices"
        yield f"Checkpoint of {', '.join(names)}: {choice}."
    rows = dict.fromkeys((record["split"], text) for record in records if (text := record.get("rows_text")))
    yield from (f"{split}: {text}." for split, text in rows)
    yield from map(comparison_notes.unfinished_note, (record for record in records if not record.get("finished", True)))
    versions = dict.fromkeys((record.get("code") or NOT_MEASURED)[:8] for record in records)
    if len(versions) > 1:
        yield f"Computed by different versions of the code: {', '.join(versions)}."
    yield from (
        f"{run_facts.task_name(record)}: {line}." for record in records for line in record.get("uneven_steps") or []
    )
    for record in records:
        if record.get("tuned"):
            yield from (f"{run_facts.task_name(record)}: {line}." for line in searches.search_notes(record))


def failures(records: list[Comparison]) -> Iterator[str]:
    """Yield the failed runs, each with its error."""
    for record in records:
        for arm in record["arms"]:
            for seed, error in (arm.get("failed") or {}).items():
                yield f"{run_facts.task_name(record)}, {arm['name']}, seed {seed} failed: {first_line(error)}"


def csv_values(record: Comparison, arm: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the CSV columns of a comparison; scores are in percent, the teacher is the arm's if arms differ in it."""
    arm_teacher = arm["teacher"] if arm is not None and len(distinct_teachers(record)) > 1 else record.get("teacher")
    teacher = arm_teacher or {}
    shared = {"comparison": record["comparison_id"], "task": run_facts.task_name(record), "metric": record["metric"]}
    shared |= {
        "split": record["split"],
        "student": record["student"],
        "settings": settings_of(record),
        "tuned": "" if record.get("search") else record.get("tuned") or 0,
        "code": record.get("code"),
    }
    shared |= {"synthetic": str(bool(record.get("synthetic"))).lower(), "seeds": " ".join(map(str, record["seeds"]))}
    shared |= {"teacher": teacher.get("name", "")}
    shared["teacher_score"] = metric_format.csv_score(record["metric"], teacher.get("score"))
    return shared | {"guess": metric_format.csv_score(record["metric"], record.get("guess"))}


def _pair_values(record: Comparison, arms: dict[str, Any], pair: dict[str, Any]) -> dict[str, Any]:
    metric, (low, high) = record["metric"], pair["interval"] or (None, None)
    line: dict[str, Any] = {}
    for side in "ab":
        arm = arms[pair[side]]
        line |= {
            side: arm["name"],
            f"{side}_mean": metric_format.csv_score(metric, arm["mean"]),
            f"{side}_sd": metric_format.csv_score(metric, arm["sd"]),
        }
    line |= {
        "difference": metric_format.csv_score(metric, pair["difference"]),
        "low": metric_format.csv_score(metric, low),
        "high": metric_format.csv_score(metric, high),
    }
    return line | {"word": pair["word"], "seeds_needed": _csv_value(pair.get("seeds_needed")), "how": pair["how"]}


def _csv_value(number: float | None) -> float | str:
    return "" if number is None else number
