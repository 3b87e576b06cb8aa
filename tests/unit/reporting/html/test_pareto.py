"""Score against cost: dominated points, plots, costs of several machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kdrun.reporting.html import pareto, run_page
from kdrun.reporting.html.arms import make_arms
from kdrun.reporting.html.blocks import Figures, Table, Text
from kdrun.reporting.html.pareto import Point, front, pareto_blocks
from kdrun.reporting.html.render import render
from kdrun.reporting.html.run_reader import FinishedRun, read_run
from kdrun.reporting.html.svg import drawing
from kdrun.storage.cost_card import COST
from tests.helpers.cost_cards import card, model_cost
from tests.helpers.finished_runs import result


def run(folder: Path, params: int = 133122, cost: dict[str, Any] | None = None) -> FinishedRun:
    folder.mkdir()
    student = result()["student"] | {"params": params}
    (folder / "result.json").write_text(json.dumps(result(student=student)))
    if cost is not None:
        (folder / COST).write_text(json.dumps(cost))
    return read_run(folder)


def test_a_point_is_beaten_by_one_that_costs_no_more_and_scores_no_less() -> None:
    points = [
        Point(*values, 0) for values in (("a", 1, 0.7), ("b", 2, 0.9), ("c", 2, 0.8), ("d", 3, 0.9), ("e", 4, 0.95))
    ]
    assert front(points) == {"a", "b", "e"}
    assert front([Point("a", 1, 0.7, 0), Point("b", 1, 0.7, 0)]) == {"a", "b"}  # equal points do not beat each other
    assert front([]) == set()


def blocks_of(runs: dict[str, FinishedRun], scores: dict[str, float | None]) -> list[Any]:
    with drawing():
        return pareto_blocks(make_arms([(name, [one]) for name, one in runs.items()]), scores, "accuracy on dev")


def test_students_are_plotted_against_size_and_latency(tmp_path: Path) -> None:
    runs = {
        "small": run(tmp_path / "a", 50_000, card(1.0)),
        "middle": run(tmp_path / "b", 90_000, card(2.5)),
        "large": run(tmp_path / "c", 150_000, card(2.0)),
    }
    figures, table, note = blocks_of(runs, {"small": 0.7, "middle": 0.75, "large": 0.9})
    assert isinstance(figures, Figures)
    size, latency = (str(figure.svg) for figure in figures.figures)
    assert "small 70.0 % at 50 k, not beaten; middle 75.0 % at 90 k, not beaten; large 90.0 % at 150 k" in size
    assert "teacher 93.0 % at 406 k" in size
    assert "middle 75.0 % at 2.5 ms;" in latency
    assert "large 90.0 % at 2 ms, not beaten; teacher 93.0 % at 9 ms" in latency
    assert isinstance(table, Table)
    assert table.rows[1] == ["middle", "75.0 %", "90 k", "not beaten", "2.5 ms", "—"]
    assert "side by side" in note.text


def test_latencies_of_several_machines_are_not_in_one_plot(tmp_path: Path) -> None:
    runs = {"a": run(tmp_path / "a", 50_000, card(1.0)), "b": run(tmp_path / "b", 90_000, card(2.0, processor="other"))}
    figures, table, note = blocks_of(runs, {"a": 0.7, "b": 0.8})
    assert len(figures.figures) == 1
    assert table.rows[0][-2:] == ["n/a", "—"]
    assert "several machines" in note.text


def test_measurements_at_different_times_are_named(tmp_path: Path) -> None:
    runs = {"a": run(tmp_path / "a", cost=card(1.0)), "b": run(tmp_path / "b", cost=card(2.0, measured="later"))}
    figures, _, note = blocks_of(runs, {"a": 0.7, "b": 0.8})
    assert [figure.title for figure in figures.figures] == [f"accuracy on dev against {pareto.LATENCY}"]
    assert "at different times" in note.text


@pytest.mark.parametrize("scores", [{"a": 0.7, "b": 0.8}, {"a": None, "b": 0.8}])
def test_students_of_one_size_without_latencies_have_no_plot(scores: dict[str, float | None], tmp_path: Path) -> None:
    blocks = blocks_of({"a": run(tmp_path / "a"), "b": run(tmp_path / "b")}, scores)
    if scores["a"] is None:
        assert blocks == []
        return
    (note,) = blocks
    assert isinstance(note, Text)
    assert "one size" in note.text
    assert "kdrun cost" in note.text


def test_the_page_of_a_run_shows_its_costs_escaped(tmp_path: Path) -> None:
    extra = {"onnx/model.onnx": model_cost(format="onnx fp32", peak_memory=None)}
    html = render(run_page.run_page(run(tmp_path / "a", cost=card(2.0, files=extra))))
    assert "Measured cost" in html
    assert "onnx/model.onnx" in html
    assert "cpu &lt;b&gt;" in html
    assert "400 (300)" in html


def test_a_damaged_cost_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = run(tmp_path / "a")
    (tmp_path / "a" / COST).write_text("{}")
    assert one.cost is None
    assert "cost.json" in caplog.text
