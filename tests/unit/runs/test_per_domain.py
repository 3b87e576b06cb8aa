"""Runs with one student per domain: configs and merged results."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kdrun.config import compose
from kdrun.runs import per_domain


def result(domain: str, score: float | None, teacher: float, steps: int) -> Any:
    """The result of one domain's run."""

    def metrics(value: float | None) -> dict[str, Any]:
        return {"test": {"accuracy": value, f"accuracy_{domain}": value}}

    return {
        "headline": {"metric": "accuracy", "split": "test"},
        "student": {"name": "s", "params": 1, "metrics": metrics(score)},
        "teacher": {"name": "t", "params": 2, "metrics": metrics(teacher)},
        "guess": metrics(0.5),
        "retention": None if score is None else score / teacher,
        "data": {
            "name": domain,
            "train_rows_read": 10,
            "labels_read": 10,
            "ood_rows_read": 0,
            "train_rows_read_for_teacher": 40,
            "rows": {"train": 10},
            "rows_by_domain": {"train": {"books": 10 * (domain == "books"), "dvd": 10 * (domain == "dvd")}},
        },
        "checkpoint": {"selected": "best_dev", "split": "dev", "step": steps, "note": None},
        "time": {"total_s": 3.0, "train_s": steps / 10, "examples_per_s": 80.0},
        "steps": {"student": steps},
        "reasons": {},
    }


def merged(*results: Any) -> Any:
    data: Any = SimpleNamespace(task=SimpleNamespace(metrics=["accuracy"]), display_name="amazon")
    parts: dict[str, Any] = dict(zip(("books", "dvd"), results, strict=True))
    return per_domain.merge_results(parts, {name: f"domains/{name}" for name in parts}, data)


def test_scores_are_averaged_and_rows_steps_and_seconds_are_summed() -> None:
    whole = merged(result("books", 0.8, 0.9, 10), result("dvd", 0.6, 0.7, 30))
    assert whole["student"]["metrics"]["test"] == {
        "accuracy": pytest.approx(0.7),
        "accuracy_books": 0.8,
        "accuracy_dvd": 0.6,
    }
    assert whole["retention"] == pytest.approx(0.7 / 0.8)  # of the means, not the mean of the domains' retentions
    assert whole["steps"] == {"student": 40}
    assert whole["time"] == {"total_s": 6.0, "train_s": 4.0, "examples_per_s": 80.0}
    assert whole["data"]["rows_by_domain"] == {"train": {"books": 10, "dvd": 10}}
    assert whole["data"]["train_rows_read_for_teacher"] is None
    assert "data.train_rows_read_for_teacher" in whole["reasons"]
    assert whole["domains"]["dvd"] == {"score": 0.6, "retention": 0.6 / 0.7, "run_dir": "domains/dvd"}
    assert whole["checkpoint"]["step"] is None


def test_a_score_that_is_undefined_in_a_domain_has_no_mean() -> None:
    whole = merged(result("books", 0.8, 0.9, 10), result("dvd", None, 0.7, 30))
    assert whole["student"]["metrics"]["test"]["accuracy"] is None
    assert whole["retention"] is None


def test_the_run_of_a_domain_has_a_folder_of_the_whole_run(tmp_path: Path) -> None:
    config = compose.load_config(["method=tinybert_kd", "task=amazon", "method.domain=all"])
    domain_config: Any = per_domain.of_domain(config, "dvd", tmp_path)
    assert domain_config.method.domain == "dvd"
    assert domain_config.run_dir == str(tmp_path / "domains" / "dvd")
    assert per_domain.first_domain_config(config) == per_domain.of_domain(config, config.task.domains[0], None)
    plain = compose.load_config(["task=sst2"])
    assert per_domain.first_domain_config(plain) is plain
    overrides = ["task=amazon", "method.domain=all", "run_dir=x"]
    assert per_domain.domain_overrides(overrides, "dvd") == ["task=amazon", "method.domain=dvd"]
