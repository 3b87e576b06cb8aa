"""Printed comparisons: notes and intervals."""

import io
from types import SimpleNamespace
from typing import Any

from rich.console import Console as RichConsole

from kdrun.console import Console
from kdrun.experiments.compare import display
from kdrun.experiments.compare.arms import Arm


def record(chosen_on: str | None) -> dict[str, Any]:
    pairs = [{"a": "kd", "b": "finetune", "reason": "fewer than 3 seeds", "asked": True}]
    pairs.append({"a": "zskd", "b": "kd", "reason": "", "asked": True})
    return {
        "pairs": pairs,
        "claims": [{}],
        "margin": 0.01,
        "metric": "accuracy",
        "how": "paired",
        "split": "test",
        "chosen_on": chosen_on,
        "rows": 80,
    }


def test_notes_name_reasons_margin_and_the_split_that_chose() -> None:
    reason, tie, choice = display.notes(record("dev"))
    assert reason == "kd against finetune: fewer than 3 seeds"
    assert "± 1 points" in tie
    assert "dev" in choice
    assert "test (80 rows)" in choice


def test_scores_on_the_choosing_split_have_a_warning() -> None:
    assert "too high" in display.notes(record("test"))[-1]
    assert "too high" not in display.notes(record(None))[-1]


def test_intervals_have_signs() -> None:
    assert display.interval({"metric": "accuracy"}, [-0.02, 0.013]) == "-2.0 … +1.3"
    assert display.interval({"metric": "teacher_kl"}, [-0.02, 0.013]) == "-0.0200 … +0.0130"
    assert display.interval({"metric": "accuracy"}, None) == "n/a"


def test_the_interval_that_decides_a_tie_has_a_column_where_it_is_another_one() -> None:
    printed = {"interval": [-0.008, 0.008], "confidence": 0.95, "difference": 0.0, "word": "INCONCLUSIVE"}
    pairs = [{"a": "kd", "b": "finetune", "asked": True, **printed}, {"a": "zskd", "b": "kd", "asked": True, **printed}]
    tie_test = {"interval": [-0.012, 0.012], "confidence": 0.975}
    text = io.StringIO()
    comparison = {"metric": "accuracy", "pairs": [pairs[0] | {"tie_test": tie_test}, pairs[1]]}
    display._print_verdicts(comparison, Console(RichConsole(file=text, width=150)))
    lines = [" ".join(line.split()) for line in text.getvalue().splitlines()]
    assert any("interval for TIES" in line for line in lines)
    assert any("-1.2 … +1.2 (97.5 %)" in line for line in lines)
    assert any("95 % │ same │ INCONCLUSIVE" in line for line in lines)


def test_the_plan_names_shared_overrides_once() -> None:
    shared = ["method=kd", "task=sst2", "preset=smoke"]
    arms = [Arm(f"kd T={value}", "kd", [*shared, f"method.temperature={value}"]) for value in (1, 4)]
    text = io.StringIO()
    data: Any = SimpleNamespace(
        synthetic=False, source="folder", display_name="SST-2", row_counts={}, reported_rows=None, agreement_text=None
    )
    display.print_header(arms, [1, 2], data, Console(RichConsole(file=text, width=120)))
    lines = [" ".join(line.split()) for line in text.getvalue().splitlines()]
    assert lines[2:] == [
        "all arms method=kd task=sst2 preset=smoke",
        "kd T=1 method.temperature=1",
        "kd T=4 method.temperature=4",
    ]
