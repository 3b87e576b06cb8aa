"""Rows of your own: splits, completed tasks, unlabeled rows, several formats of one data set."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdrun import registry
from kdrun.config import compose
from kdrun.config.data import FilesDataConfig
from kdrun.config.task import TaskConfig, TaskKind
from kdrun.data.dataset import load_dataset
from kdrun.data.files import dataset_files
from kdrun.data.files.dataset_files import load_own_data
from kdrun.data.splits import Split, text_keys
from kdrun.errors import ConfigError, DataError

OWN = TaskConfig(name="own", headline="")


def write_rows(path: Path, count: int, classes: tuple[str, ...] = ("bad", "good"), repeat: int = 0) -> Path:
    """A CSV file of `count` rows, of which the last `repeat` repeat earlier texts."""
    texts = [f"remark number {i % (count - repeat)}" for i in range(count)]
    rows = [f"{text},{classes[i % len(classes)]}" for i, text in enumerate(texts)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


def config(**settings: Any) -> FilesDataConfig:
    plain: dict[str, Any] = {key: str(value) if isinstance(value, Path) else value for key, value in settings.items()}
    return FilesDataConfig(name="files", **plain)


def texts(split: Split) -> set[str]:
    return set(text_keys(split).to_pylist())


def test_fractions_are_stratified_disjoint_and_seeded(tmp_path: Path) -> None:
    train = write_rows(tmp_path / "train.csv", 240, ("a", "b", "b", "b"), repeat=40)
    data = load_own_data(config(train=train, dev=0.1, test=0.2), OWN)
    splits, parts = data.splits, [texts(split) for split in data.splits.values()]
    assert {name: split.num_rows for name, split in splits.items() if name != "train"} == {"dev": 20, "test": 40}
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    assert len(set.union(*parts)) == 200
    assert np.bincount(splits["dev"].labels()).tolist() == [5, 15]
    assert data.task.report_split == "test"
    assert data.task.eval_splits_during_training == ["dev"]
    other = load_own_data(config(train=train, dev=0.1, test=0.2, subset_seed=2), OWN)
    assert texts(other.splits["dev"]) != parts[1]
    # the test rows do not depend on the size of dev
    smaller = load_own_data(config(train=train, dev=0.05, test=0.2), OWN)
    assert smaller.splits["test"].fingerprint == splits["test"].fingerprint


def test_a_completed_task_reads_the_same_rows_without_reading_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = config(train=write_rows(tmp_path / "train.csv", 40), dev=0.2)
    first = load_own_data(section, OWN)
    assert load_own_data(section, first.task) is first
    monkeypatch.setattr(dataset_files, "_loaded", {})
    again = load_own_data(section, first.task)
    assert again.task == first.task
    assert {name: split.fingerprint for name, split in again.splits.items()} == {
        name: split.fingerprint for name, split in first.splits.items()
    }


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "train.csv", 40)
    section = config(train=path, dev=0.2)
    before = load_own_data(section, OWN).splits["train"].fingerprint
    write_rows(path, 44)
    assert load_own_data(section, OWN).splits["train"].fingerprint != before


def test_the_smallest_class_decides_the_headline(tmp_path: Path) -> None:
    dev = write_rows(tmp_path / "dev.csv", 10)
    even = load_own_data(config(train=write_rows(tmp_path / "even.csv", 40), dev=dev), OWN).task
    rare = load_own_data(config(train=write_rows(tmp_path / "rare.csv", 40, ("bad", *["good"] * 9)), dev=dev), OWN).task
    assert (even.headline, rare.headline) == ("accuracy", "macro_f1")
    assert even.metrics == rare.metrics == ["accuracy", "macro_f1"]
    chosen = dataclasses.replace(OWN, metrics=["mcc"], title="remarks")
    task = load_own_data(config(train=tmp_path / "rare.csv", dev=dev), chosen).task
    assert (task.metrics, task.headline, task.title) == (["mcc"], "mcc", "remarks")


def test_scores_have_the_range_of_all_files(tmp_path: Path) -> None:
    rows = [f"remark number {i},{i / 7:.2f}" for i in range(30)]
    (tmp_path / "train.csv").write_text("\n".join(["text,score", *rows]))
    (tmp_path / "dev.csv").write_text("text,score\na remark,9.5\nb remark,-1\n")
    task = load_own_data(config(train=tmp_path / "train.csv", dev=tmp_path / "dev.csv"), OWN).task
    assert task.kind is TaskKind.score
    assert task.range == [-1, 9.5]
    assert (task.metrics, task.headline, task.labels) == (["pearson", "spearman"], "pearson", [])


def test_label_sets_from_columns_are_int8_rows(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,toxic,insult\na b,1,0\nb c,0,0\nc d,1,1\n")
    section = config(train=tmp_path / "train.csv", dev=tmp_path / "train.csv")
    data = load_own_data(section, dataclasses.replace(OWN, label=["toxic", "insult"]))
    assert data.task.is_multi_label
    assert data.splits["train"].labels().tolist() == [[1, 0], [0, 0], [1, 1]]
    assert data.task.headline == "micro_f1"


def test_a_known_task_keeps_its_classes(tmp_path: Path) -> None:
    train = write_rows(tmp_path / "train.csv", 20, ("negative", "Positive"))
    task = TaskConfig(
        name="sst2", text=["text"], labels=["negative", "positive"], metrics=["accuracy"], headline="accuracy"
    )
    data = load_own_data(config(train=train, dev=0.2), task)
    assert data.task.labels == ["negative", "positive"]
    assert data.task.metrics == ["accuracy"]
    assert set(data.splits["train"].labels()) == {0, 1}


def test_unlabeled_rows_are_new_texts_without_labels(tmp_path: Path) -> None:
    train = write_rows(tmp_path / "train.csv", 40)
    (tmp_path / "more.txt").write_text("remark number 3\n\na new remark\na new remark\nanother one\n")
    section = config(train=train, dev=0.2, unlabelled=tmp_path / "more.txt")
    data = load_own_data(section, OWN)
    assert data.splits["unlabelled"].table.to_pydict() == {"text": ["a new remark", "another one"]}
    assert any("2 of 4 rows of more.txt left out" in note for note in data.splits["unlabelled"].notes)
    dataset = load_dataset(section, data.task)
    assert dataset.train.num_rows == 32
    assert dataset.student_rows.num_rows == 34
    assert dataset.student_rows.labels()[-2:].tolist() == [-1, -1]
    assert dataset.all_splits["unlabelled"].num_rows == 2


@pytest.mark.parametrize("kind", ["score", "label sets"])
def test_missing_labels_of_other_kinds(tmp_path: Path, kind: str) -> None:
    rows: list[dict[str, Any]] = [
        {"text": f"remark {i}", "label": i / 7 if kind == "score" else ["x"] if i % 2 else ["x", "y"]}
        for i in range(25)
    ]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "more.jsonl").write_text('{"text": "a new remark"}\n')
    section = config(train=tmp_path / "train.jsonl", dev=0.2, unlabelled=tmp_path / "more.jsonl")
    labels = load_dataset(section, load_own_data(section, OWN).task).student_rows.labels()
    assert np.isnan(labels[-1]) if kind == "score" else labels[-1].tolist() == [-1, -1]


def test_only_requested_splits_are_returned(tmp_path: Path) -> None:
    section = config(train=write_rows(tmp_path / "train.csv", 40), dev=0.2)
    task = load_own_data(section, OWN).task
    assert list(registry.build("data", "files", section, task, ["dev"])) == ["dev"]


def test_problems_of_all_files_are_reported_together(tmp_path: Path) -> None:
    train = write_rows(tmp_path / "train.csv", 40)
    (tmp_path / "dev.csv").write_text("text,label\na remark,nice\n")
    (tmp_path / "test.csv").write_text("text,label\na remark,\n")
    with pytest.raises(ConfigError) as caught:
        load_own_data(config(train=train, dev=tmp_path / "dev.csv", test=tmp_path / "test.csv"), OWN)
    assert "test.csv" in str(caught.value)
    with pytest.raises(ConfigError, match=r"(?s)data\.dev=7.*data\.subset.*data\.train=.*nothing\.csv"):
        load_own_data(config(train=tmp_path / "nothing.csv", dev=7, subset="x"), OWN)


def test_a_saved_data_set_with_class_names_and_splits(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    rows = {"text": [f"remark {i}" for i in range(6)], "label": [0, 1] * 3}
    part = datasets.Dataset.from_dict(rows, features)
    datasets.DatasetDict({"train": part, "validation": part.select([0, 1])}).save_to_disk(tmp_path / "set")
    data = load_own_data(config(train=tmp_path / "set"), OWN)
    assert data.task.labels == ["no", "yes"]
    assert data.task.rows == {"train": 6, "dev": 2}
    assert data.task.title == "set"
    named = load_own_data(config(train=tmp_path / "set", dev="validation"), OWN)
    assert named.splits["dev"].fingerprint == data.splits["dev"].fingerprint
    with pytest.raises(ConfigError, match=r"data\.dev=valid: no such split; did you mean 'validation'"):
        load_own_data(config(train=tmp_path / "set", dev="valid"), OWN)
    one = load_own_data(config(train=tmp_path / "set" / "validation", dev=tmp_path / "set" / "train"), OWN)
    assert one.task.rows == {"train": 2, "dev": 6}


def test_a_saved_data_set_names_files_of_its_own_only(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"text": ["a", "b"], "label": ["x", "y"]}).save_to_disk(tmp_path / "set")
    state = tmp_path / "set" / "state.json"
    content = json.loads(state.read_text())
    content["_data_files"] = [{"filename": "../secret.arrow"}]
    state.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"state\.json lists the file '\.\./secret\.arrow'"):
        load_own_data(config(train=tmp_path / "set", dev=0.5), OWN)


def test_all_formats_give_the_same_rows(tmp_path: Path) -> None:
    csv = write_rows(tmp_path / "train.csv", 12)
    rows = [dict(zip(("text", "label"), line.split(","), strict=True)) for line in csv.read_text().splitlines()[1:]]
    (tmp_path / "train.tsv").write_text(csv.read_text().replace(",", "\t"))
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "train.json").write_text(json.dumps(rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    hashes = {
        load_own_data(config(train=path, dev=csv), OWN).splits["train"].fingerprint
        for path in sorted(tmp_path.glob("train.*"))
    }
    assert len(hashes) == 1


def test_ragged_rows_in_blocks_have_their_number(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "train.csv", 30000)
    with path.open("a") as file:
        file.write("a,b,c\n")
    with pytest.raises(DataError, match=r"row 30001: 3 fields, expected 2"):
        load_own_data(config(train=path, dev=0.1), OWN)


@pytest.mark.parametrize("subset", ["toy", None])
def test_a_data_set_of_the_hub_by_name_of_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subset: str | None
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "repo").mkdir()
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    files = []
    for name, count in (("train", 6), ("test", 4)):
        rows = {"text": [f"remark {name} {i}" for i in range(count)], "label": [i % 2 for i in range(count)]}
        datasets.Dataset.from_dict(rows, features).to_parquet(tmp_path / "repo" / f"{name}.parquet")
        files.append({"split": name, "path": f"{name}.parquet"})
    configs = json.dumps({"configs": [{"config_name": "toy", "data_files": files}]})
    (tmp_path / "repo" / "README.md").write_text(f"---\n{configs}\n---\n")
    section = config(repo=tmp_path / "repo", subset=subset, dev=0.4, test="test")
    data = load_own_data(section, OWN)
    assert data.task.labels == ["no", "yes"]
    assert data.task.rows == {"train": 4, "dev": 2, "test": 4}
    assert data.task.report_split == "test"
    assert data.task.title == ("repo-toy" if subset else "repo")
    with pytest.raises(DataError, match=r"data\.train=trian: no such split; did you mean 'train'"):
        load_own_data(dataclasses.replace(section, train="trian"), OWN)


def test_a_data_set_of_the_hub_offline_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    overrides = ["task=own", "data=files", "data.repo=nobody/nothing", "data.dev=0.1", "offline=true"]
    text = "\n".join(compose.validate_overrides(overrides, multirun=False))
    assert "nobody/nothing cannot be read: downloads are off (offline=true" in text
    assert "data.train=FILE" in text
