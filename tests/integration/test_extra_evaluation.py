"""Extra evaluation: rows that only score the finished models."""

import json
from pathlib import Path

import pytest

from kdrun.config import compose
from kdrun.config.task import TaskConfig
from kdrun.data.extra_splits import read_extra_split
from kdrun.errors import ConfigError
from kdrun.reporting.html import report
from tests.helpers.runs import finish, read_lines, smoke_config

pytestmark = pytest.mark.usefixtures("run_env")


@pytest.fixture
def hans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve rows in the layout of HANS at the hub."""
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "hans"
    columns = {
        "premise": [f"the doctor near the actor danced {i}" for i in range(12)],
        "hypothesis": ["the actor danced"] * 12,
        "label": [0, 1, 1] * 4,
    }
    rows = datasets.Dataset.from_dict(columns)
    rows = rows.cast_column("label", datasets.ClassLabel(names=["entailment", "non-entailment"]))
    folder.mkdir()
    rows.to_parquet(folder / "validation.parquet")
    card = {
        "configs": [{"config_name": "default", "data_files": [{"split": "validation", "path": "validation.parquet"}]}]
    }
    (folder / "README.md").write_text(f"---\n{json.dumps(card)}\n---\n")
    return folder


def task(folder: Path) -> TaskConfig:
    return compose.to_config(compose.compose(["task=mnli", f"task.extra.hans.repo={folder}"])).task


def test_classes_of_the_task_read_as_those_of_the_split(hans: Path) -> None:
    extra = read_extra_split(task(hans), "hans")
    assert (extra.labels, extra.merged.tolist()) == (["entailment", "non-entailment"], [0, 1, 1])
    assert extra.split.labels().tolist() == [0, 1, 1] * 4
    assert "officially 30000" in extra.split.notes[-1]


def test_a_finished_run_is_scored_apart(hans: Path, tmp_path: Path) -> None:
    words = ["method=kd", "task=mnli", "data=embedded", f"task.extra.hans.repo={hans}", "evaluation.extra=[hans]"]
    result, folder, _ = finish(smoke_config(tmp_path, *words))
    assert result["extra"]["hans"]["rows"] == 12
    assert result["guess"]["hans"] == {"accuracy": pytest.approx(2 / 3)}
    assert result["teacher"] is not None
    for model in (result["student"], result["teacher"]):
        assert 0 <= (model["metrics"]["hans"]["accuracy"] or 0.0) <= 1
    assert result["headline"]["split"] == "dev"
    assert {line["split"] for line in read_lines(folder / "predictions.jsonl")} == {"dev", "dev_mismatched"}
    assert not any("hans" in str(line.get("eval")) for line in read_lines(folder / "metrics.jsonl"))
    assert "Extra evaluation" in report.write_run_report(folder).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["task=mnli", "evaluation.extra=[hanz]"], "no 'hanz'; did you mean 'hans'"),
        (["task=sst2", "evaluation.extra=[hans]"], r"task=sst2 has no 'hans'.*task\.extra"),
        (["task=mnli", "task.extra.hans.labels=[entailment,other]"], r"no class for neutral, contradiction"),
        (["task=mnli", "+task.extra.hans.merge.maybe=entailment"], r"merge names 'maybe'"),
        (["task=mnli", "+task.extra.hans.spilt=test"], r"unknown key 'spilt'; did you mean 'split'"),
        (["task=mnli", "evaluation.extra=[hans,hans]"], "more than once"),
    ],
)
def test_wrong_extra_splits_are_refused(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        smoke_config(tmp_path, "method=kd", *words)
