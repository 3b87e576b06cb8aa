"""Verdicts and arms of comparisons."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from kdrun.formatting import NOT_MEASURED, mean_sd, percent, signed
from kdrun.reporting.tables import run_facts
from kdrun.reporting.tables.render import TextTable, csv_percent

Comparison = dict[str, Any]
SHARED = ["task", "metric", "student", "settings", "seeds", "teacher", "guess"]
"""Columns that all rows of a comparison have in common."""
OF_A_COMPARISON = ("baselines", "seeds", "margin")
"""Words of `kdrun compare` that are no settings of its runs."""


def verdicts(found: list[Comparison], methods: list[str], digits: int) -> TextTable:
    """One row a comparison and pair: who wins, by how much, and how sure that is.

    Args:
        found: the comparisons.
        methods: only pairs that one of these takes part in; all if there are none.
        digits: decimals of a percentage.
    """
    rows, records = [], []
    for one in found:
        arms = {arm["name"]: arm for arm in one["arms"]}
        for pair in one["pairs"]:
            if methods and not any(method_of(arms[pair[side]]) in methods for side in "ab"):
                continue
            sides = [f"{pair[side]} {_mean(arms[pair[side]], digits)}" for side in "ab"]
            rows.append([*_what(one, digits), *sides, _difference(pair, digits), _word(pair)])
            records.append(values(one) | _pair_values(arms, pair))
    told = [*_guess(found), *notes(found), *_intervals(found)]
    return TextTable(caption(found), [*SHARED, "a", "b", "a − b", "verdict"], rows, records, told, left=(*range(9), 10))


def arms(found: list[Comparison], methods: list[str], digits: int) -> TextTable:
    """One row a comparison and arm: every seed's score, what it kept of the teacher's, what it cost."""
    rows, records = [], []
    for one in found:
        for arm in one["arms"]:
            if methods and method_of(arm) not in methods:
                continue
            n = sum(score is not None for score in arm["scores"].values())
            mean = f"{_mean(arm, digits)} ({n})" if arm["mean"] is not None else NOT_MEASURED
            each = ", ".join(_one_seed(arm, str(seed), digits) for seed in one["seeds"])
            kept = percent(arm["kept"], digits)
            rows.append([*_what(one, digits, arm), arm["name"], mean, each, kept, _time(arm), _steps(arm)])
            line = {
                "arm": arm["name"],
                "mean": csv_percent(arm["mean"]),
                "sd": csv_percent(arm["sd"]),
                "n": n,
            }
            scores = (f"{seed}:{'' if score is None else csv_percent(score)}" for seed, score in arm["scores"].items())
            line |= {"scores": " ".join(scores), "kept": csv_percent(arm["kept"])}
            line |= {"train_seconds": _or_empty(arm["seconds"]), "steps": _steps(arm)}
            records.append(values(one, arm) | line)
    columns = [*SHARED, "arm", "mean ± sd (n)", "each seed", "kept", "training a run", "steps"]
    told = [*_guess(found), *notes(found), *failures(found)]
    return TextTable(caption(found), columns, rows, records, told, left=(*range(8), 9, 12))


TEACHER_DIGITS = 9
"""Scores that agree to so many are of one teacher: means over domains come in two orders of adding up."""


def teacher_key(teacher: dict[str, Any]) -> tuple[Any, ...]:
    """What is equal for one teacher in two arms, as far as its scores tell."""
    scores = [teacher["score"], *(of["mean"] for of in teacher["by_domain"].values())]
    shown = (None if score is None else round(score, TEACHER_DIGITS) for score in scores)
    return teacher["name"], teacher["lessons"], *shown


def teachers(one: Comparison) -> list[dict[str, Any]]:
    """The teachers of a comparison's arms, each once; none in the record of an older one, which has one for all."""
    found = [arm["teacher"] for arm in one["arms"] if arm.get("teacher")]
    return list({teacher_key(teacher): teacher for teacher in found}.values())


def method_of(arm: dict[str, Any]) -> str:
    """The method of an arm, from its words; an arm without such a word bears its name."""
    named = [word.partition("=")[2] for word in arm["words"] if word.startswith("method=")]
    return named[-1] if named else arm["name"]


def settings_of(one: Comparison) -> str:
    """The preset of a comparison and what its runs were given beyond it and beyond what has a column."""
    kept = [word for word in shlex.split(one["command"]) if word.partition("=")[0] not in OF_A_COMPARISON]
    return f"preset={one['preset']} {run_facts.beyond_axes(shlex.join(kept))}".rstrip()


def _what(one: Comparison, digits: int, arm: dict[str, Any] | None = None) -> list[str]:
    """The columns `SHARED`; where arms have different teachers, that of the arm, or all of them without one."""
    of_arms = teachers(one)
    if len(of_arms) > 1 and arm is not None:
        shown = _teacher(arm["teacher"], digits) if arm["teacher"] else "none"
    elif len(of_arms) > 1:
        shown = "; ".join(_teacher(teacher, digits) for teacher in of_arms)
    else:
        shown = _teacher(one["teacher"], digits) if one.get("teacher") else "none"
    seeds = ", ".join(str(seed) for seed in one["seeds"])
    guess = percent(one.get("guess"), digits, unit="")
    return [
        run_facts.task_name(one),
        one["metric"],
        one["student"] or NOT_MEASURED,
        settings_of(one),
        seeds,
        shown,
        guess,
    ]


def _teacher(teacher: dict[str, Any], digits: int) -> str:
    score = percent(teacher["score"], digits, unit="")
    return " ".join(part for part in (teacher["name"], teacher.get("lessons"), score) if part)


def _mean(arm: dict[str, Any], digits: int) -> str:
    return mean_sd(arm["mean"], arm["sd"], digits, scale=100)


def _one_seed(arm: dict[str, Any], seed: str, digits: int) -> str:
    if seed in (arm.get("failed") or {}):
        return "failed"
    return percent(arm["scores"].get(seed), digits, unit="")


def _difference(pair: dict[str, Any], digits: int) -> str:
    if pair["difference"] is None:
        return NOT_MEASURED
    ends = pair["interval"]
    interval = NOT_MEASURED if ends is None else ", ".join(signed(100 * end, digits, minus="-") for end in ends)
    return f"{signed(100 * pair['difference'], digits, minus='-')} [{interval}]"


def _word(pair: dict[str, Any]) -> str:
    """The verdict; about how many seeds would tell, where that is more than there were."""
    needed = pair.get("seeds_needed")
    return f"{pair['word']} (about {needed} seeds would tell)" if needed and needed > pair["seeds"] else pair["word"]


def _time(arm: dict[str, Any]) -> str:
    seconds = arm["seconds"]
    if seconds is None:
        return NOT_MEASURED
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _steps(arm: dict[str, Any]) -> str:
    return ", ".join(f"{role} {count}" for role, count in (arm.get("steps") or {}).items()) or NOT_MEASURED


def caption(found: list[Comparison]) -> str:
    """What the numbers of comparisons are."""
    return f"Percent on {', '.join(dict.fromkeys(one['split'] for one in found))}, mean ± standard deviation over seeds"


def _guess(found: list[Comparison]) -> Iterator[str]:
    if any(one.get("guess") is not None for one in found):
        yield "guess: the score of one constant answer, the most frequent class or the mean score."


def notes(found: list[Comparison]) -> Iterator[str]:
    """What holds for all rows of a comparison."""
    synthetic = dict.fromkeys(run_facts.task_name(one) for one in found if one.get("synthetic"))
    if synthetic:
        yield f"Synthetic data, made by a grammar: {', '.join(synthetic)}. No number of it is a GLUE score."
    chosen: dict[tuple[str | None, str], dict[str, None]] = {}
    for one in found:
        chosen.setdefault((one.get("chosen_on"), one["split"]), {})[run_facts.task_name(one)] = None
    for (on, split), names in chosen.items():
        told = (
            f"chosen on {on}, {'the split' if on == split else split} reported"
            if on
            else "the last one, or not one for all"
        )
        yield f"Checkpoint of {', '.join(names)}: {told}."
    codes = dict.fromkeys((one.get("code") or NOT_MEASURED)[:8] for one in found)
    if len(codes) > 1:
        yield f"Not all by one version of the code: {', '.join(codes)}."
    yield from (f"{run_facts.task_name(one)}: {line}." for one in found for line in one.get("uneven_steps") or [])


def _intervals(found: list[Comparison]) -> Iterator[str]:
    """How sure the verdicts are, and why some are not."""
    kinds = dict.fromkeys(
        f"{100 * one['confidence']:g} % interval, {pair['how']}; a tie lies within ± {100 * one['margin']:g} points"
        for one in found
        for pair in one["pairs"]
        if pair["interval"] is not None
    )
    yield from (f"a − b: in points, with its {kind}." for kind in kinds)
    reasons: dict[str, dict[str, None]] = {}
    for one in found:
        for pair in one["pairs"]:
            why = pair.get("reason") or ("" if pair["interval"] else "fewer than two seeds finished in both")
            if why:
                reasons.setdefault(why, {})[f"{run_facts.task_name(one)}, {pair['a']} − {pair['b']}"] = None
    yield from (f"{'; '.join(pairs)}: {why}." for why, pairs in reasons.items())


def failures(found: list[Comparison]) -> Iterator[str]:
    """The runs that failed, each with its error."""
    for one in found:
        for arm in one["arms"]:
            for seed, error in (arm.get("failed") or {}).items():
                first = error.splitlines()[0] if error else "n/a: no error was recorded"
                yield f"{run_facts.task_name(one)}, {arm['name']}, seed {seed} failed: {first}"


def values(one: Comparison, arm: dict[str, Any] | None = None) -> dict[str, Any]:
    """A comparison in the CSV, with the teacher of an arm where arms have different ones; scores in percent."""
    own = arm["teacher"] if arm is not None and len(teachers(one)) > 1 else one.get("teacher")
    teacher = own or {}
    shared = {"comparison": one["comparison_id"], "task": run_facts.task_name(one), "metric": one["metric"]}
    shared |= {"split": one["split"], "student": one["student"], "settings": settings_of(one), "code": one.get("code")}
    shared |= {"synthetic": str(bool(one.get("synthetic"))).lower(), "seeds": " ".join(map(str, one["seeds"]))}
    shared |= {"teacher": teacher.get("name", ""), "teacher_score": csv_percent(teacher.get("score"))}
    return shared | {"guess": csv_percent(one.get("guess"))}


def _pair_values(arms: dict[str, Any], pair: dict[str, Any]) -> dict[str, Any]:
    low, high = pair["interval"] or (None, None)
    line: dict[str, Any] = {}
    for side in "ab":
        arm = arms[pair[side]]
        line |= {
            side: arm["name"],
            f"{side}_mean": csv_percent(arm["mean"]),
            f"{side}_sd": csv_percent(arm["sd"]),
        }
    line |= {
        "difference": csv_percent(pair["difference"]),
        "low": csv_percent(low),
        "high": csv_percent(high),
    }
    return line | {"word": pair["word"], "seeds_needed": _or_empty(pair.get("seeds_needed")), "how": pair["how"]}


def _or_empty(number: float | None) -> float | str:
    return "" if number is None else number
