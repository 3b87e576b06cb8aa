"""GLUE tasks from the hub: splits, columns, labels, errors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdrun.config.data import HubDataConfig
from kdrun.config.task import TaskConfig, TaskKind
from kdrun.data import hub_datasets
from kdrun.data.sources import glue_hub
from kdrun.data.splits import Split
from kdrun.errors import DataError

datasets = pytest.importorskip("datasets")

CLASSES = TaskConfig(
    name="toy", text=["question", "sentence"], labels=["entailment", "neutral"], rows={"train": 2, "dev": 1}
)
SCORES = TaskConfig(name="toy", text=["question"], range=[0, 5], rows={"train": 2, "dev": 1})
ROWS = {"question": ["a ", "None"], "sentence": ["b", ""], "label": [1, 0]}


def read_task(config: HubDataConfig, task: TaskConfig) -> dict[str, Split]:
    return glue_hub.read_task(config, task, ["train", *task.dev_splits])


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def repository(root: Path, splits: dict[str, dict[str, Any]], label: Any = None) -> HubDataConfig:
    """A data set repository on disk: one Parquet file per split of the subset `toy`, as at the hub."""
    folder = root / "repo"
    (folder / "toy").mkdir(parents=True)
    files = []
    for name, columns in splits.items():
        rows = datasets.Dataset.from_dict(columns)
        if label is not None:
            rows = rows.cast_column("label", label)
        rows.to_parquet(folder / "toy" / f"{name}.parquet")
        files.append({"split": name, "path": f"toy/{name}.parquet"})
    card = json.dumps({"configs": [{"config_name": "toy", "data_files": files}]})
    (folder / "README.md").write_text(f"---\n{card}\n---\n")
    return HubDataConfig(name="hub", repo=str(folder))


def test_splits_columns_and_labels(tmp_path: Path):
    label = datasets.ClassLabel(names=["entailment", "neutral"])
    config = repository(tmp_path, {"train": ROWS, "validation": ROWS}, label)
    splits = read_task(config, CLASSES)
    assert list(splits) == ["train", "dev"]
    train = splits["train"]
    assert train.row(0) == {"text": "a", "text_pair": "b", "label": 1}
    assert train.row(1) == {"text": "None", "text_pair": "", "label": 0}
    assert train.origin.endswith("repo:toy/train")
    assert splits["dev"].origin.endswith("repo:toy/validation")
    assert "1 pairs" in train.notes[0]
    assert train.fingerprint == splits["dev"].fingerprint


def test_matched_and_mismatched(tmp_path: Path):
    task = TaskConfig(
        name="toy", text=CLASSES.text, labels=CLASSES.labels, rows={"train": 2, "dev": 2, "dev_mismatched": 1}
    )
    one = {name: values[:1] for name, values in ROWS.items()}
    config = repository(tmp_path, {"train": ROWS, "validation_matched": ROWS, "validation_mismatched": one})
    splits = read_task(config, task)
    assert {name: split.num_rows for name, split in splits.items()} == {"train": 2, "dev": 2, "dev_mismatched": 1}


def test_scores(tmp_path: Path):
    rows = {"question": ["a", "b"], "label": [0.0, 4.75]}
    split = read_task(repository(tmp_path, {"train": rows, "validation": rows}), SCORES)["train"]
    assert split.labels().tolist() == [0.0, 4.75]
    assert not split.is_pair


BAD: dict[str, tuple[TaskConfig, dict[str, Any], str]] = {
    "hidden label": (CLASSES, {"label": [0, -1]}, "row 1: the label is -1; expected entailment or 0, neutral or 1"),
    "class index": (CLASSES, {"label": [2, 0]}, "row 0: the label is 2"),
    "text label": (CLASSES, {"label": ["x", "y"]}, "labels of type string; the task toy needs class indices"),
    "score for a class": (CLASSES, {"label": [0.5, 1.0]}, "the label is 0.5"),
    "score high": (SCORES, {"label": [5.5, 1.0]}, "row 0: the score is 5.5; expected a number from 0 to 5"),
    "score nan": (SCORES, {"label": [1.0, float("nan")]}, "row 1: the score is nan"),
    "null label": (CLASSES, {"label": [None, 1]}, "row 0: the label is None"),
    "null text": (CLASSES, {"sentence": ["b", None]}, "row 1: sentence is null"),
    "no text": (CLASSES, {"question": ["a", " "]}, "row 1: the text is empty"),
}


@pytest.mark.parametrize(("task", "change", "message"), BAD.values(), ids=BAD.keys())
def test_bad_rows_are_refused(tmp_path: Path, task: TaskConfig, change: dict[str, Any], message: str):
    rows = ROWS | change
    with pytest.raises(DataError, match=message):
        read_task(repository(tmp_path, {"train": rows, "validation": rows}), task)


def test_other_class_names_are_refused(tmp_path: Path):
    config = repository(tmp_path, {"train": ROWS}, datasets.ClassLabel(names=["neutral", "entailment"]))
    with pytest.raises(DataError, match=r"has the classes neutral, entailment; the task toy has entailment, neutral"):
        read_task(config, CLASSES)


def test_missing_parts_are_named(tmp_path: Path):
    config = repository(tmp_path, {"train": ROWS})
    with pytest.raises(DataError, match=r"toy has no split validation or validation_matched; it has train"):
        read_task(config, CLASSES)
    other = TaskConfig(name="toy", text=["question1"], labels=CLASSES.labels, rows={"train": 2})
    with pytest.raises(DataError, match=r"lacks the column 'question1'; did you mean 'question'\?"):
        read_task(config, other)
    with pytest.raises(DataError, match="no readable subset sst2"):
        read_task(config, TaskConfig(name="sst2", text=["question"], rows={"train": 2}))


def test_without_network_and_cache_the_other_sources_are_named(monkeypatch: pytest.MonkeyPatch):
    from datasets import config
    from huggingface_hub import constants

    monkeypatch.setattr(hub_datasets, "_hub_answers", lambda: False)
    before = constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE
    with pytest.raises(DataError, match=r"does not answer .* data=folder data\.dir=PATH .* data=embedded"):
        read_task(HubDataConfig(name="hub", repo="kdrun-test/no-such-data"), CLASSES)
    assert before == (constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE)


@pytest.mark.parametrize(("proxy", "answers"), [("", False), ("http://proxy:3128", True)])
def test_whether_the_hub_answers(monkeypatch: pytest.MonkeyPatch, proxy: str, answers: bool):
    import socket

    def fail(*_: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert hub_datasets._hub_answers() is answers


HUB_TASK = replace(
    CLASSES,
    text=["question"],
    hub={"repo": "owner/name", "subset": "toy", "label": "intent", "splits": {"train": "train", "test": "validation"}},
    rows={"train": 18, "dev": 2, "test": 4},
    reported="test",
)


def intents(rows: int) -> dict[str, Any]:
    return {"question": [f"question {i}" for i in range(rows)], "intent": [i % 2 for i in range(rows)]}


def test_a_task_of_its_own_layout_holds_out_a_dev_split(tmp_path: Path):
    config = repository(tmp_path, {"train": intents(20), "validation": intents(4)})
    splits = read_task(config, HUB_TASK)
    assert {name: split.num_rows for name, split in splits.items()} == {"train": 18, "dev": 2, "test": 4}
    assert sorted(splits["dev"].labels()) == [0, 1]  # stratified
    train, dev = (set(splits[name].table.column("text").to_pylist()) for name in ("train", "dev"))
    assert not train & dev
    again = glue_hub.read_task(config, HUB_TASK, ["dev", "test"])
    assert list(again) == ["dev", "test"]
    assert again["dev"].fingerprint == splits["dev"].fingerprint
    alone = glue_hub.read_task(config, HUB_TASK, ["train"])
    assert alone["train"].fingerprint == splits["train"].fingerprint


def test_true_and_false_are_classes(tmp_path: Path):
    rows = {"question": ["a", "b"], "intent": [True, False]}
    task = replace(HUB_TASK, hub={**HUB_TASK.hub, "splits": {"train": "train", "dev": "validation"}}, rows={"dev": 2})
    (dev,) = glue_hub.read_task(repository(tmp_path, {"validation": rows}), task, ["dev"]).values()
    assert dev.labels().tolist() == [1, 0]


def test_a_multi_label_task_is_sent_to_own_data(tmp_path: Path):
    with pytest.raises(DataError, match=r"task\.kind=multi_label.*data=files data\.repo=owner/name"):
        read_task(HubDataConfig(name="hub"), replace(HUB_TASK, kind=TaskKind.multi_label))
