"""Statistics of the arms of a comparison."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdrun.config.task import TaskConfig
from kdrun.errors import DataError
from kdrun.experiments.compare import record
from kdrun.experiments.compare.arms import Arm

TASK = TaskConfig(name="t", labels=["no", "yes"])


def finished_arm(tmp_path: Path, name: str, predictions: dict[int, list[str]], gold: str = "no yes no yes") -> Arm:
    """An arm with a folder of predictions per seed."""
    arm = Arm(name, name, [])
    for seed, predicted in predictions.items():
        folder = tmp_path / f"{name}-{seed}"
        folder.mkdir()
        rows = [{"split": "dev", "gold": g, "prediction": p} for g, p in zip(gold.split(), predicted, strict=True)]
        lines = [*rows, {"split": "test", "gold": "no", "prediction": "no"}]
        (folder / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        arm.folders[seed] = folder
        accuracy = float(np.mean([row["gold"] == row["prediction"] for row in rows]))
        content: Any = {"student": {"metrics": {"dev": {"accuracy": accuracy}}}, "steps": {"student": 10 * seed}}
        arm.results[seed] = content
    return arm


def test_all_runs_share_the_resampled_examples(tmp_path: Path) -> None:
    right, wrong = ["no", "yes", "no", "yes"], ["no", "no", "no", "no"]
    arms = [finished_arm(tmp_path, "a", {1: right, 2: wrong}), finished_arm(tmp_path, "b", {1: wrong})]
    resampled = record._resampled_scores(arms, TASK, "dev", "accuracy")
    assert list(resampled) == [("a", 1), ("a", 2), ("b", 1)]
    assert (resampled["a", 1] == 1).all()
    np.testing.assert_array_equal(resampled["a", 2], resampled["b", 1])
    assert resampled["b", 1].std() > 0


def test_predictions_on_other_rows_are_an_error(tmp_path: Path) -> None:
    predicted = ["no", "yes", "no", "yes"]
    arms = [
        finished_arm(tmp_path, "a", {1: predicted}),
        finished_arm(tmp_path, "b", {1: predicted}, gold="yes no no yes"),
    ]
    with pytest.raises(DataError, match=r"b-1 on dev are of different rows"):
        record._resampled_scores(arms, TASK, "dev", "accuracy")


def test_different_step_counts_of_a_seed_are_a_warning(tmp_path: Path) -> None:
    predicted = ["no", "yes", "no", "yes"]
    arms = [finished_arm(tmp_path, name, {1: predicted, 2: predicted}) for name in "ab"]
    assert record._uneven_steps(arms) == []
    arms[1].results[2]["steps"]["student"] = 7
    (warning,) = record._uneven_steps(arms)
    assert "seed 2" in warning
    assert "a 20, b 7" in warning


def test_means_of_exported_text_leave_out_missing_values_and_shares() -> None:
    def result(quality: dict[str, Any] | None) -> Any:
        return {"generated": None if quality is None else {"quality": quality}}

    qualities = [{"words": 4.0, "agreement": None, "classes": {}}, {"words": 6.0, "agreement": 0.5, "classes": {}}]
    assert record._generated_text([result(q) for q in [*qualities, None]]) == {"words": 5.0, "agreement": None}
    assert record._generated_text([result(None)]) is None
