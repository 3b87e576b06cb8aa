"""Rows of tasks as a run uses them: subsets, domains, notes and display names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from kdrun import registry
from kdrun.config.data import DataConfig, FolderDataConfig
from kdrun.config.task import TaskConfig
from kdrun.data import dataset, embedded
from kdrun.data.dataset import load_dataset
from kdrun.data.embedded import Rows
from kdrun.data.sources import embedded as embedded_rows
from kdrun.errors import ConfigError, DataError
from tests.helpers.paths import ROOT

TASKS = sorted(path for path in (ROOT / "conf" / "task").glob("*.yaml") if path.stem in embedded.TASKS)
TOY = TaskConfig(
    name="toy",
    text=["sentence"],
    labels=["negative", "positive"],
    metrics=["accuracy"],
    headline="accuracy",
    rows={"train": 100, "dev": 2},
    folder={
        "dir": "TOY",
        "text": ["sentence"],
        "label": "label",
        "files": {"train": "train.tsv", "dev": "dev.tsv"},
    },
)


def folder(root: Path, train: list[str], dev: list[str], **options: Any) -> FolderDataConfig:
    (root / "TOY").mkdir()
    for name, texts in [("train", train), ("dev", dev)]:
        lines = [f"{text}\t{i % 2}\n" for i, text in enumerate(texts)]
        (root / "TOY" / f"{name}.tsv").write_text("sentence\tlabel\n" + "".join(lines))
    return FolderDataConfig(name="folder", dir=str(root), **options)


def numbered(count: int) -> list[str]:
    return [f"text {i}" for i in range(count)]


def test_the_official_rows_need_no_notes(tmp_path: Path):
    data = load_dataset(folder(tmp_path, numbered(100), ["x", "y"]), TOY)
    assert (data.source, data.synthetic, data.notes, data.display_name) == ("folder", False, [], "TOY")
    assert list(data.splits) == ["train", "dev"]
    assert data.train is data.splits["train"]


@pytest.mark.parametrize(
    ("rows", "official", "name"),
    [
        (99, 100, "TOY"),
        (98, 100, "TOY-98"),
        (102, 100, "TOY-102"),
        (999, 5000, "TOY-999"),
        (1600, 5000, "TOY-2k"),
    ],
)
def test_a_training_set_of_another_size_has_the_size_in_its_name(tmp_path: Path, rows: int, official: int, name: str):
    task = replace(TOY, rows={"train": official, "dev": 2})
    data = load_dataset(folder(tmp_path, numbered(rows), ["x", "y"]), task)
    assert data.display_name == name
    assert data.notes == [f"train (TOY/train.tsv) has {rows} rows, officially {official}: a part of the task"]


def test_another_dev_split_is_named(tmp_path: Path):
    data = load_dataset(folder(tmp_path, numbered(100), ["x"]), TOY)
    assert data.display_name == "TOY"
    (note,) = data.notes
    assert note.startswith("dev (TOY/dev.tsv) has 1 rows, officially 2: scores do not compare")


def test_a_subset_is_named_and_repeatable(tmp_path: Path):
    config = folder(tmp_path, numbered(100), ["x", "y"], max_train_rows=10, subset_seed=3)
    data = load_dataset(config, TOY)
    assert data.train.num_rows == 10
    assert data.display_name == "TOY-10"
    assert data.notes == ["trained on 10 of 100 rows, drawn with data.subset_seed=3"]
    assert load_dataset(config, TOY).train.fingerprint == data.train.fingerprint
    config.subset_seed = 4
    assert load_dataset(config, TOY).train.fingerprint != data.train.fingerprint
    config.max_train_rows = 100
    assert load_dataset(config, TOY).notes == []


@pytest.mark.parametrize(
    ("dev", "note"),
    [
        (["text 3", "x"], "1 of 2 dev rows also appears in train"),
        (["text 3", "text 4"], "2 of 2 dev rows also appear in train"),
    ],
)
def test_dev_rows_that_appear_in_train_are_counted(tmp_path: Path, dev: list[str], note: str):
    assert load_dataset(folder(tmp_path, numbered(100), dev), TOY).notes == [note]


@pytest.fixture
def no_kept_rows() -> Iterator[None]:
    """A process that has read no embedded rows, before and after the test."""
    embedded_rows._embedded_split.cache_clear()
    yield
    embedded_rows._embedded_split.cache_clear()


@pytest.mark.usefixtures("no_kept_rows")
def test_embedded_rows_are_synthetic_and_the_same_for_every_seed(monkeypatch: pytest.MonkeyPatch):
    calls = []

    def generate(task: str, split: str, seed: int) -> Rows:
        calls.append((task, split, seed))
        return Rows(["a", "b"], None, [0, 1])

    monkeypatch.setattr(embedded, "generate", generate)
    one, two = (load_dataset(DataConfig(name="embedded", subset_seed=seed), TOY) for seed in (1, 2))
    assert calls[:2] == [("toy", "train", 0), ("toy", "dev", 0)]
    assert one.train.fingerprint == two.train.fingerprint
    assert one.synthetic
    assert one.display_name == "toy (synthetic)"
    assert one.notes == ["2 of 2 dev rows also appear in train"]


@pytest.mark.usefixtures("no_kept_rows")
def test_empty_splits_are_refused(monkeypatch: pytest.MonkeyPatch):
    empty = Rows([], None, [])
    monkeypatch.setattr(embedded, "generate", lambda *_, **__: empty)
    with pytest.raises(DataError, match=r"split train of toy has no rows \(source: embedded\)"):
        load_dataset(DataConfig(name="embedded"), TOY)


def test_sources_are_registered_and_unknown_ones_refused():
    assert {"embedded", "folder", "hub"} <= set(registry.entries("data"))
    with pytest.raises(ConfigError, match=r"unknown data 'foldr'; did you mean 'folder'\?"):
        load_dataset(DataConfig(name="foldr"), TOY)


def test_the_embedded_data_has_rows_of_eleven_tasks():
    names = "amazon cola conll2003 mnli mrpc passive qnli qqp rte sst2 stsb wnli"
    assert " ".join(path.stem for path in TASKS) == names


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_task_yamls_are_complete_with_embedded_rows(path: Path):
    merged = OmegaConf.merge(OmegaConf.structured(TaskConfig), OmegaConf.load(path))
    task: Any = OmegaConf.to_object(merged)
    assert task.name == path.stem
    assert task.headline in task.metrics
    assert [bool(task.labels), bool(task.range), bool(task.entities), task.is_free_text].count(True) == 1
    assert len(task.text) == len(task.folder.get("text", task.text)) in (1, 2)
    assert set(task.rows) >= {"train", "dev"}
    if task.is_free_text:
        assert not task.folder
    else:
        assert set(task.folder["files"]) == set(task.rows) if "files" in task.folder else task.folder["pool"]
    data = dataset.load_dataset(DataConfig(name="embedded"), task)
    assert list(data.splits) == ["train", *task.dev_splits]
    for split in data.splits.values():
        assert split.is_pair == (len(task.text) == 2)
        if task.is_text:
            assert all(isinstance(label, str) for label in split.labels())
            continue
        low, high = task.range or [0, task.num_outputs - 1]
        assert low <= split.labels().min() <= split.labels().max() <= high


def amazon(**options: Any) -> tuple[DataConfig, TaskConfig]:
    path = next(path for path in TASKS if path.stem == "amazon")
    task: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(TaskConfig), OmegaConf.load(path)))
    return DataConfig(name="embedded", **options), task


def test_rows_of_one_domain():
    data = load_dataset(*amazon())
    assert data.rows_by_domain("test") == dict.fromkeys(data.task.domains, 200)
    books = data.only_domain("books")
    assert {name: split.num_rows for name, split in books.splits.items()} == {"train": 1620, "dev": 180, "test": 200}
    assert books.rows_by_domain("train") == {"books": 1620, "dvd": 0, "electronics": 0, "kitchen": 0}
    assert books.display_name == "amazon/books (synthetic)"
    assert books.fingerprint != data.fingerprint
    expected = [row["text"] for row in data.splits["dev"].table.to_pylist() if row["domain"] == 0]
    assert books.splits["dev"].table.column("text").to_pylist() == expected


def test_an_unknown_domain_is_refused():
    data = load_dataset(*amazon())
    with pytest.raises(DataError, match=r"amazon has no domain book; did you mean 'books'\?"):
        data.only_domain("book")
    with pytest.raises(DataError, match=r"dev of amazon/books \(synthetic\) has no row of dvd among 180 rows"):
        replace(data.only_domain("books"), splits={"dev": data.only_domain("books").splits["dev"]}).only_domain("dvd")
    plain = load_dataset(
        DataConfig(name="embedded"), replace(amazon()[1], name="sst2", domains=[], rows={"train": 1, "dev": 1})
    )
    with pytest.raises(DataError, match=r"rows of sst2 .* have no domain"):
        plain.only_domain("books")


def test_train_fraction_of_the_target_domain():
    data = load_dataset(*amazon(train_fraction=0.01), target="books")
    assert data.rows_by_domain("train") == {"books": 16, "dvd": 1620, "electronics": 1620, "kitchen": 1620}
    assert data.notes == [
        "trained on 16 of 1620 rows of books (data.train_fraction=0.01), drawn with data.subset_seed=1"
    ]
    books = data.only_domain("books")
    assert books.train.labels().sum() == 8
    assert books.splits["test"].num_rows == 200
    larger = load_dataset(*amazon(train_fraction=0.05), target="books").only_domain("books").train
    assert set(books.train.table.column("text").to_pylist()) < set(larger.table.column("text").to_pylist())
    other = load_dataset(*amazon(train_fraction=0.01, subset_seed=2), target="books").only_domain("books").train
    assert other.fingerprint != books.train.fingerprint


def test_train_fraction_of_all_rows_without_a_target():
    data = load_dataset(*amazon(train_fraction=0.1))
    assert data.rows_by_domain("train") == dict.fromkeys(data.task.domains, 162)
    assert load_dataset(*amazon(train_fraction=1.0)).notes == []
    assert load_dataset(*amazon(train_fraction=1e-6)).train.num_rows == 1


def test_train_fraction_of_a_task_without_domains(tmp_path: Path):
    data = load_dataset(folder(tmp_path, numbered(100), ["x", "y"], train_fraction=0.1), TOY)
    assert data.train.labels().tolist().count(1) == 5
    assert data.notes == ["trained on 10 of 100 rows (data.train_fraction=0.1), drawn with data.subset_seed=1"]


def test_train_fraction_applies_to_the_subset_which_keeps_domains_in_proportion():
    data = load_dataset(*amazon(max_train_rows=64, train_fraction=0.25), target="dvd")
    assert data.rows_by_domain("train") == {"books": 16, "dvd": 4, "electronics": 16, "kitchen": 16}
    assert [note.split(",")[0] for note in data.notes] == [
        "trained on 64 of 6480 rows",
        "trained on 4 of 16 rows of dvd (data.train_fraction=0.25)",
    ]


def test_domains_other_than_the_embedded_ones_are_refused():
    config, task = amazon()
    with pytest.raises(DataError, match=r"has the domains books, dvd, .* task\.domains is books, cars"):
        load_dataset(config, replace(task, domains=["books", "cars"]))
