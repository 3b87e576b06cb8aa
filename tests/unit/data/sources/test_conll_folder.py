"""The CoNLL layout: BIO and IOB1, problems by line, and the real files if available."""

from pathlib import Path
from typing import Any

import pytest

from kdrun.config.data import FolderDataConfig, HubDataConfig
from kdrun.config.task import TaskConfig
from kdrun.data.dataset import load_dataset
from kdrun.data.sources import conll_folder
from kdrun.data.splits import Split
from kdrun.errors import DataError
from tests.helpers.paths import SHARED

FOLDER: dict[str, Any] = {
    "dir": "names",
    "files": {"train": "train.txt", "dev": "dev.txt"},
    "tags": {"PER": "person", "LOC": "location"},
}
TASK = TaskConfig(
    name="names",
    text=["sentence"],
    entities=["person", "location"],
    metrics=["entity_f1"],
    headline="entity_f1",
    rows={"train": 1, "dev": 1},
    folder=FOLDER,
)


def sentence(*words: str) -> str:
    """Lines of `word/TAG` words, with a column between as in CoNLL."""
    return "".join(f"{word} NN {tag}\n" for word, tag in (pair.rsplit("/", 1) for pair in words)) + "\n"


ANN = sentence("Ann/B-PER", "Lee/I-PER", "left/O", "Rome/B-LOC", "./O")


def read_splits(root: Path, train: str, dev: str = ANN, task: TaskConfig = TASK) -> dict[str, Split]:
    folder = root / "names"
    folder.mkdir(exist_ok=True)
    (folder / "train.txt").write_text(train)
    (folder / "dev.txt").write_text(dev)
    return conll_folder.read_task(str(root), task, ["train", "dev"])


def answers(root: Path, *words: str) -> str:
    return read_splits(root, sentence(*words))["train"].row(0)["label"]


def test_a_sentence_becomes_a_text_and_its_entities(tmp_path: Path) -> None:
    split = read_splits(tmp_path, "-DOCSTART- -X- O\n\n" + ANN + "\n\n" + sentence("Someone/O", "came/O").rstrip())[
        "train"
    ]
    assert split.table.to_pylist() == [
        {"text": "Ann Lee left Rome .", "label": "person: Ann Lee; location: Rome"},
        {"text": "Someone came", "label": "none"},
    ]
    assert split.notes == ()


def test_tabs_separate_columns_and_other_blanks_are_part_of_a_word(tmp_path: Path) -> None:
    assert read_splits(tmp_path, "Ann\u00a0Lee\tB-PER\n")["train"].row(0) == {
        "text": "Ann\u00a0Lee",
        "label": "person: Ann\u00a0Lee",
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("Ann/B-PER", "Bo/B-PER"), "person: Ann; person: Bo"),
        (("Ann/B-PER", "Rome/B-LOC", "East/I-LOC"), "person: Ann; location: Rome East"),
        (("Ann/B-PER", "and/O", "Bo/B-PER", "Lee/I-PER"), "person: Ann; person: Bo Lee"),
    ],
)
def test_bio(tmp_path: Path, words: tuple[str, ...], expected: str) -> None:
    assert answers(tmp_path, *words) == expected


def test_iob1_is_understood_and_named(tmp_path: Path) -> None:
    words = ("Ann/I-PER", "Lee/I-PER", "Bo/B-PER", "Rome/I-LOC", "./O")
    split = read_splits(tmp_path, sentence(*words))["train"]
    assert split.row(0)["label"] == "person: Ann Lee; person: Bo; location: Rome"
    assert split.notes == ("names/train.txt is tagged in IOB1 (its first entity begins with I-PER)",)


def test_a_mixture_of_schemes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"I-LOC begins an entity on line 8, .* and B-PER one on line 1"):
        read_splits(tmp_path, ANN + sentence("In/O", "Rome/I-LOC"))


def test_broken_lines_are_refused_with_their_numbers(tmp_path: Path) -> None:
    broken = ANN + "Bo\nLee NN E-PER\nRome NN B-ORG\n\n" + sentence("a;b/B-PER")
    with pytest.raises(DataError) as caught:
        read_splits(tmp_path, broken)
    message = str(caught.value)
    assert "names/train.txt has 4 problems" in message
    assert "line 7: one column ('Bo')" in message
    assert "line 8: the tag is 'E-PER'; expected O, or B- or I- with one of PER, LOC" in message
    assert "line 9: the tag is 'B-ORG'" in message
    assert "line 11: the person 'a;b' cannot be written" in message


def test_the_parent_folder_or_the_task_folder(tmp_path: Path) -> None:
    read_splits(tmp_path, ANN)
    splits = conll_folder.read_task(str(tmp_path / "names"), TASK, ["dev"])
    assert splits["dev"].row(0)["label"] == "person: Ann Lee; location: Rome"


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere", "does not exist"), ("file", "is a file"), ("empty", r"holds neither a folder names nor train\.txt")],
)
def test_a_wrong_folder_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        conll_folder.read_task(str(tmp_path / name), TASK, ["dev"])


def test_a_missing_or_empty_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"names/train\.txt has no sentences; expected 1 for train"):
        read_splits(tmp_path, "\n")
    (tmp_path / "names" / "train.txt").unlink()
    with pytest.raises(DataError, match=r"train\.txt is missing"):
        conll_folder.read_task(str(tmp_path), TASK, ["train"])


def test_only_the_files_of_requested_splits_are_opened(tmp_path: Path) -> None:
    read_splits(tmp_path, ANN)
    (tmp_path / "names" / "train.txt").write_bytes(b"\xff poison")
    assert list(conll_folder.read_task(str(tmp_path), TASK, ["dev"])) == ["dev"]


def test_ambiguous_sentences_are_counted_in_dev_splits(tmp_path: Path) -> None:
    twice = sentence("Rome/B-LOC", "thanked/O", "Rome/B-PER")
    both = read_splits(tmp_path, twice, dev=ANN + twice)
    assert both["train"].notes == ()
    (note,) = both["dev"].notes
    assert note.startswith("1 of 2 sentences of names/dev.txt")


def test_tags_must_be_those_of_the_task(tmp_path: Path) -> None:
    other = TaskConfig(name="names", entities=["person"], rows={"train": 1, "dev": 1}, folder=FOLDER)
    with pytest.raises(DataError, match=r"tags maps to person, location; task\.entities are person"):
        read_splits(tmp_path, ANN, task=other)


def test_the_hub_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data=hub has no task=names.*names/train\.txt"):
        load_dataset(HubDataConfig(name="hub"), TASK)


@pytest.mark.skipif(not (SHARED / "conll2003").is_dir(), reason="needs ../shared/conll2003")
def test_real_conll_has_its_official_counts() -> None:
    from kdrun.config import compose
    from kdrun.data import entities

    task = compose.load_config(["task=conll2003", "preset=t5_writer"]).task
    data = load_dataset(FolderDataConfig(name="folder", dir=str(SHARED)), task)
    assert {name: split.num_rows for name, split in data.splits.items()} == task.rows
    assert data.display_name == "CoNLL-2003"
    gold = data.train.labels().tolist()
    matches = entities.matches_by_type(gold, gold, task.entities)
    assert {entity_type: count for entity_type, (_, _, count) in matches.items()} == {
        "person": 6600,
        "location": 7140,
        "organization": 6321,
        "miscellaneous": 3438,
    }
