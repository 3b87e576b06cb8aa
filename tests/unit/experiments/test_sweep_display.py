"""Screens of a sweep: a column per axis, and means over seeds with the best marked."""

import io
from pathlib import Path
from typing import Any

from rich.console import Console as RichConsole

from kdrun.console import Console
from kdrun.experiments.sweep_display import column_names, print_sweep, swept_values
from kdrun.experiments.sweeps import Cell, Sweep


def cell(seed: int, temperature: int) -> Cell:
    overrides = [f"method.temperature={temperature}", f"seed={seed}", "task=sst2"]
    return Cell(f"{temperature}{seed:015d}", f"method.temperature={temperature} seed={seed}", overrides, {}, [])


def record(one: Cell, score: float | None) -> dict[str, Any]:
    metrics: dict[str, Any] = {"dev": {"accuracy": score}}
    facts = {"cell": one.id, "label": one.label, "status": "done", "task": "sst2", "seconds": 3, "retention": 0.9}
    headline = {"headline": {"split": "dev", "metric": "accuracy"}}
    return facts | headline | {"student": {"metrics": metrics}, "teacher": {"metrics": {"dev": {"accuracy": 0.95}}}}


def screen(scores: dict[tuple[int, int], float | None]) -> list[str]:
    cells = [cell(seed, temperature) for temperature, seed in scores]
    text = io.StringIO()
    sweep = Sweep("s", Path("outputs/sweeps/s"), "code", cells)
    rows = [record(one, score) for one, score in zip(cells, scores.values(), strict=True)]
    print_sweep(sweep, rows, Console(RichConsole(file=text, width=140)))
    return [" ".join(line.replace("│", " ").split()) for line in text.getvalue().splitlines()]


def test_each_axis_has_a_column_and_the_best_mean_over_seeds_is_marked() -> None:
    lines = screen({(1, 1): 0.80, (1, 2): 0.82, (4, 1): 0.90, (4, 2): 0.92})
    assert "1 2 10000000 dev accuracy 95.0 % 82.0 % 90.0 % 3 done" in lines
    assert "1 dev accuracy 95.0 % 81.0 ± 1.4 % 2" in lines
    assert "4 dev accuracy 95.0 % 91.0 ± 1.4 % * 2" in lines
    assert "means over seeds (* best)" in lines


def test_an_undefined_score_has_no_mean() -> None:
    lines = screen({(1, 1): 0.80, (1, 2): None, (4, 1): 0.90})
    assert "1 dev accuracy 95.0 % n/a 2" in lines
    assert "4 dev accuracy 95.0 % 90.0 % * 1" in lines


def test_values_of_the_swept_keys() -> None:
    assert swept_values(cell(12, 1)) == {"method.temperature": "1", "seed": "12"}


def test_columns_have_the_last_part_of_a_key_unless_two_are_equal() -> None:
    assert column_names(["method.temperature", "seed"]) == ["temperature", "seed"]
    assert column_names(["student.path", "teacher.path"]) == ["student.path", "teacher.path"]
