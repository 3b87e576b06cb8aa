"""Tasks by domain from folders: splits, domain columns, real files if available."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kdrun.config import compose
from kdrun.config.data import FolderDataConfig
from kdrun.config.domains import by_domain_task
from kdrun.config.task import TaskConfig
from kdrun.data.dataset import TaskDataset, load_dataset
from kdrun.data.sources import domain_folder
from kdrun.data.splits import count_overlap
from kdrun.errors import DataError
from tests.helpers.paths import SHARED

POOLED = TaskConfig(
    name="toys",
    text=["sentence"],
    labels=["bad", "good"],
    metrics=["accuracy"],
    headline="accuracy",
    rows={"train": 81, "dev": 9, "test": 10},
    domains=["cars", "dolls"],
    reported="test",
    folder={"dir": "toys", "title": "Toys", "text": ["sentence"], "label": "label", "pool": ["train.tsv", "dev.tsv"]},
)
BY_COLUMN = TaskConfig(
    name="pairs",
    text=["a", "b"],
    labels=["no", "yes"],
    metrics=["accuracy"],
    headline="accuracy",
    rows={"train": 41, "dev": 5},
    domains=["x", "y"],
    by_domain={
        "rows": {"train": 36, "dev": 4, "test": 4},
        "files": {"train": "train.tsv", "test": "dev.tsv"},
        "reported": "test",
    },
    folder={
        "dir": "P",
        "text": ["a", "b"],
        "label": "gold",
        "domain": "kind",
        "files": {"train": "train.tsv", "dev": "dev.tsv"},
    },
)
HEADER = "sentence\tlabel\n"


def toys(root: Path, *extra: str) -> FolderDataConfig:
    """Fifty rows per domain, 40 and 10 in its two files; `extra` are more lines of cars/dev.tsv."""
    for domain in POOLED.domains:
        (root / "toys" / domain).mkdir(parents=True)
        lines = [f"{domain} number {i}\t{i % 2}\n" for i in range(50)]
        (root / "toys" / domain / "train.tsv").write_text(HEADER + "".join(lines[:40]))
        (root / "toys" / domain / "dev.tsv").write_text(HEADER + "".join(lines[40:]))
    with (root / "toys" / "cars" / "dev.tsv").open("a") as file:
        file.writelines(f"{line}\n" for line in extra)
    return FolderDataConfig(name="folder", dir=str(root))


def cells(data: TaskDataset, split: str) -> list[int]:
    """Rows of a split by domain and label."""
    rows = data.splits[split]
    domains = rows.domains()
    assert domains is not None
    return np.bincount(domains * 2 + rows.labels(), minlength=4).tolist()


def all_texts(data: TaskDataset) -> list[str]:
    return [text for split in data.splits.values() for text in split.table.column("text").to_pylist()]


@pytest.mark.parametrize("task_folder", [False, True], ids=["parent", "task folder"])
def test_all_rows_are_pooled_and_split_by_domain_and_label(tmp_path: Path, task_folder: bool) -> None:
    config = toys(tmp_path)
    data = load_dataset(replace(config, dir=str(tmp_path / "toys")) if task_folder else config, POOLED)
    assert {name: split.num_rows for name, split in data.splits.items()} == {"train": 81, "dev": 9, "test": 10}
    assert sorted(cells(data, "test")) == [2, 2, 3, 3]
    assert data.rows_by_domain("test") == {"cars": 5, "dolls": 5}
    assert sum(data.rows_by_domain("train").values()) == 81
    texts = all_texts(data)
    assert len(set(texts)) == len(texts) == 100
    for split in data.splits.values():
        for i in range(split.num_rows):
            row = split.row(i)
            assert row["text"].startswith(POOLED.domains[row["domain"]])
            assert int(row["text"].split()[-1]) % 2 == row["label"]
    assert data.display_name == "Toys"
    repeats, split_note = data.notes
    assert "cars 0, dolls 0 left out" in repeats
    assert "100 rows" in repeats
    assert "a tenth as test and then a tenth as dev" in split_note


def test_a_repeated_text_counts_once_before_the_split(tmp_path: Path) -> None:
    again = [f"  cars number {i}\t{i % 2}" for i in range(40)]
    data = load_dataset(toys(tmp_path, *again), POOLED)
    assert sorted(all_texts(data)) == sorted(f"{domain} number {i}" for domain in POOLED.domains for i in range(50))
    assert all(count_overlap(data.train, data.splits[name]) == 0 for name in ("dev", "test"))
    assert "cars 40, dolls 0 left out" in data.notes[0]
    assert not any("in train" in note for note in data.notes)


def test_two_domains_may_share_a_text(tmp_path: Path) -> None:
    data = load_dataset(toys(tmp_path, "dolls number 3\t1"), POOLED)
    assert sum(split.num_rows for split in data.splits.values()) == 101


def test_a_pool_of_another_size_is_noted_with_both_sizes(tmp_path: Path) -> None:
    task = replace(POOLED, rows={"train": 90, "dev": 10, "test": 11})
    data = load_dataset(toys(tmp_path), task)
    assert data.display_name == "Toys-81"
    assert "train 81, dev 9, test 10;" in data.notes[-1]
    assert "train 90, dev 10, test 11" in data.notes[-1]


def test_dev_splits_and_notes_do_not_depend_on_reading_train(tmp_path: Path) -> None:
    config = toys(tmp_path)
    everything, dev = load_dataset(config, POOLED), load_dataset(config, POOLED, train=False)
    assert list(dev.splits) == ["dev", "test"]
    assert all(dev.splits[name].fingerprint == everything.splits[name].fingerprint for name in dev.splits)
    assert dev.notes == everything.notes


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a car\tfine", "toys/cars/dev.tsv has 1 problem:\n  - line 12: the label is 'fine'"),
        ("\t1", "line 12: the text is empty"),
        ("a car", "line 12: 1 columns, expected 2"),
        ("cars number 3\t0", "1 texts with two labels, the first with good and bad: 'cars number 3'"),
    ],
)
def test_broken_rows_are_refused(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        load_dataset(toys(tmp_path, line), POOLED)
    assert message in str(error.value)


def test_missing_parts_of_a_pool_are_named(tmp_path: Path) -> None:
    config = toys(tmp_path)
    (tmp_path / "toys" / "dolls" / "dev.tsv").unlink()
    with pytest.raises(DataError, match=r"toys/dolls/dev\.tsv is missing"):
        load_dataset(config, POOLED)
    with pytest.raises(DataError, match=r"lacks the folder trains; its folders: cars, dolls; expected cars/train\.tsv"):
        load_dataset(config, replace(POOLED, domains=["cars", "trains"]))
    (tmp_path / "toys" / "dolls" / "dev.tsv").write_text("sentence\tlabl\nx\t1\n")
    with pytest.raises(DataError, match=r"header of toys/dolls/dev\.tsv lacks the column 'label'; did you mean 'labl'"):
        load_dataset(config, POOLED)
    with pytest.raises(DataError, match="has no folder toys"):
        load_dataset(replace(config, dir=str(tmp_path / "toys" / "cars")), POOLED)


def pairs(root: Path, kinds: str = "xyz") -> FolderDataConfig:
    """120 training rows and 12 dev rows, their kinds in turn; every pair is distinct."""
    (root / "P").mkdir()
    for name, count in (("train", 120), ("dev", 12)):
        lines = [f"{kinds[i % len(kinds)]}\t{name} {i}\tb\t{'yes' if i // 3 % 2 else 'no'}\n" for i in range(count)]
        (root / "P" / f"{name}.tsv").write_text("kind\ta\tb\tgold\n" + "".join(lines))
    return FolderDataConfig(name="folder", dir=str(root))


def test_a_column_gives_the_domain_and_other_rows_are_left_out(tmp_path: Path) -> None:
    data = load_dataset(pairs(tmp_path), by_domain_task(BY_COLUMN))
    assert data.task == by_domain_task(BY_COLUMN)
    assert {name: split.num_rows for name, split in data.splits.items()} == {"train": 72, "dev": 8, "test": 8}
    assert cells(data, "dev") == [2, 2, 2, 2]
    assert cells(data, "test") == [2, 2, 2, 2]
    assert all(row["text"].startswith("dev ") for row in data.splits["test"].table.to_pylist())
    assert data.display_name == "P-72 by kind"
    train, split_note, dev = data.notes[:3]
    assert train.startswith("40 of 120 rows of P/train.tsv")
    assert "a tenth as dev" in split_note
    assert dev.startswith("4 of 12 rows of P/dev.tsv")


def test_the_plain_task_ignores_domains(tmp_path: Path) -> None:
    config = pairs(tmp_path)
    plain = load_dataset(config, BY_COLUMN)
    bare = replace(
        BY_COLUMN, domains=[], by_domain={}, folder={k: v for k, v in BY_COLUMN.folder.items() if k != "domain"}
    )
    assert plain.fingerprint == load_dataset(config, bare).fingerprint
    assert list(plain.splits) == ["train", "dev"]
    assert plain.rows_by_domain("dev") == {}
    text = (tmp_path / "P" / "dev.tsv").read_text().replace("kind\t", "other\t", 1)
    (tmp_path / "P" / "dev.tsv").write_text(text)
    assert load_dataset(config, BY_COLUMN).fingerprint == plain.fingerprint, "the column is optional"
    with pytest.raises(DataError, match=r"P/dev\.tsv lacks the column 'kind'"):
        load_dataset(config, by_domain_task(BY_COLUMN))


def test_a_file_without_rows_of_the_domains(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"P/train\.tsv has no row whose kind is one of x, y"):
        load_dataset(pairs(tmp_path, "z"), by_domain_task(BY_COLUMN))


def test_a_split_with_its_own_file_needs_no_other_file(tmp_path: Path) -> None:
    config = pairs(tmp_path)
    (tmp_path / "P" / "train.tsv").unlink()
    assert list(domain_folder.read_task(config.dir, by_domain_task(BY_COLUMN), ["test"])) == ["test"]
    with pytest.raises(DataError, match=r"train\.tsv is missing"):
        domain_folder.read_task(config.dir, by_domain_task(BY_COLUMN), ["dev"])


def real(name: str, folder: str) -> TaskDataset:
    overrides = [f"task={name}", "data=folder", f"data.dir={SHARED / folder}"]
    config = compose.load_config(overrides)
    return load_dataset(config.data, by_domain_task(config.task))


@pytest.mark.skipif(not (SHARED / "amazon_reviews").is_dir(), reason=f"{SHARED / 'amazon_reviews'} is not here")
def test_the_real_reviews() -> None:
    data = real("amazon", "")
    assert {name: split.num_rows for name, split in data.splits.items()} == {"train": 6362, "dev": 707, "test": 785}
    assert "books 44, dvd 46, electronics 34, kitchen 22 left out); 7854 rows remain" in data.notes[0]
    assert data.display_name == "Amazon reviews"
    assert not any("in train" in note for note in data.notes)
    for split in data.splits:
        counts = data.rows_by_domain(split).values()
        assert max(counts) - min(counts) < 0.02 * sum(counts)


@pytest.mark.skipif(not (SHARED / "glue" / "MNLI").is_dir(), reason=f"{SHARED / 'glue' / 'MNLI'} is not here")
def test_the_real_genres() -> None:
    data = real("mnli", "glue")
    assert data.rows_by_domain("test") == {
        "fiction": 1973, "government": 1945, "slate": 1955, "telephone": 1966, "travel": 1976,
    }  # fmt: skip
    assert data.train.num_rows + data.splits["dev"].num_rows == 13676
    assert data.splits["dev"].num_rows == 1368
    assert data.display_name == "MNLI-12k by genre"
