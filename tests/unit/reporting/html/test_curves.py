"""metrics.jsonl as curves."""

import pytest

from kdrun.reporting.html.curves import Span, mean_curve, read_curves, thin
from tests.helpers.finished_runs import metrics


def test_steps_count_on_from_phase_to_phase() -> None:
    curves = read_curves(metrics(60, 20, {"generator": 30, "student": 30}))
    assert curves.phases == [Span("warm up", 0, 60), Span("train", 60, 120)]
    assert curves.terms["loss"]["generator"][0] == [20, 60, 80, 120]
    assert curves.terms["loss"]["student"][0] == [40, 100]
    assert curves.scores["accuracy"]["dev"] == ([60, 120], [0.84, 0.84])
    assert set(curves.terms) == {"soft", "loss"}
    assert set(curves.gauges) == {"lr", "grad_norm", "examples_per_s"}


def test_turns_join_neighboring_records_of_a_role() -> None:
    step = {"phase": "train", "loss": 1.0}
    roles = [(10, "generator"), (20, "generator"), (30, "student"), (40, "generator")]
    curves = read_curves([{**step, "step": at, "role": role} for at, role in roles])
    assert curves.turns == [Span("generator", 0, 20), Span("student", 20, 30), Span("generator", 30, 40)]
    assert read_curves(metrics()).turns == []


def test_undefined_values_are_counted_and_other_lines_passed_over() -> None:
    step = {"phase": "train", "role": "student"}
    curves = read_curves(
        [
            {"event": "note"},
            {**step, "step": 1, "loss": None},
            {**step, "step": 2, "loss": 0.5, "fused": True, "note": "x"},
        ]
    )
    assert curves.terms == {"loss": {"student": ([2], [0.5])}}
    assert curves.undefined == 1
    assert read_curves([]).phases == []


def test_thinning_keeps_means_and_range() -> None:
    curves = thin(([1, 2, 3, 4, 5], [1.0, 3.0, 5.0, 7.0, 100.0]), most=3)
    assert curves.group == 2
    assert curves.steps.tolist() == [1.5, 3.5, 5.0]
    assert curves.values.tolist() == [2.0, 6.0, 100.0]
    assert (curves.low.tolist(), curves.high.tolist()) == ([1.0, 5.0, 100.0], [3.0, 7.0, 100.0])
    assert thin(([1], [2.0])).group == 1


def test_mean_of_runs_is_over_the_steps_they_share() -> None:
    steps, means, low, high = mean_curve([([1, 2, 3], [1.0, 2.0, 3.0]), ([2, 3], [4.0, 4.0])])
    assert (steps, means, low, high) == ([2, 3], [3.0, pytest.approx(3.5)], [2.0, 3.0], [4.0, 4.0])
    assert mean_curve([]) == ([], [], [], [])
