"""Generated text as training rows: valid files, and problems named with their lines."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from kdrun.config.data import DevSource, GeneratedDataConfig
from kdrun.config.task import TaskConfig
from kdrun.data.dataset import load_dataset
from kdrun.data.sources import generated_text
from kdrun.data.splits import make_split
from kdrun.errors import DataError

SINGLE = TaskConfig(name="sst2", text=["sentence"], labels=["negative", "positive"], rows={"train": 9, "dev": 9})
PAIR = TaskConfig(name="rte", text=["sentence1", "sentence2"], labels=["entailment", "not_entailment"])
GOOD = {"text": "a film", "wanted": None, "teacher": {"negative": 0.2, "positive": 0.8}, "source": 4}


def write(folder: Path, *rows: dict[str, Any] | str, end: str = "\n") -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "train.jsonl").write_text("\n".join(lines) + end, encoding="utf-8")
    return folder / "train.jsonl"


def card(folder: Path, **changes: Any) -> dict[str, Any]:
    data = (folder / "train.jsonl").read_bytes()
    file = {"sha256": hashlib.sha256(data).hexdigest(), "rows": data.count(b"\n")}
    content = {
        "task": "sst2",
        "labels": SINGLE.labels,
        "synthetic": True,
        "method": "zskd",
        "seed": 1,
        "generator": "tiny",
        "teacher": {"name": "teacher", "fingerprint": "0"},
        "provenance": {"command": "kdrun"},
        "file": file,
        **changes,
    }
    (folder / "card.json").write_text(json.dumps(content))
    return content


def test_the_label_is_the_teachers_most_probable_class(tmp_path: Path) -> None:
    other = {"text": "two\u2028lines", "teacher": {"positive": 0.4, "negative": 0.6}}
    split = generated_text.read_generated(str(write(tmp_path, GOOD, other)), SINGLE)
    assert split.table.to_pydict() == {"text": ["a film", "two\u2028lines"], "label": [1, 0]}
    assert (split.name, split.card, split.synthetic) == ("generated", None, False)
    assert "there is no card.json" in split.notes[0]


def test_pairs(tmp_path: Path) -> None:
    line = {"text": "a", "text_pair": "b", "teacher": {"entailment": 0.1, "not_entailment": 0.9}}
    split = generated_text.read_generated(str(write(tmp_path, line)), PAIR)
    assert split.row(0) == {"text": "a", "text_pair": "b", "label": 1}


@pytest.mark.parametrize("name", ["", "generated", "generated/train.jsonl"])
def test_a_file_is_found_by_its_path_folder_or_run_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "generated").mkdir()
    path = write(tmp_path / "generated", GOOD)
    assert generated_text.find_file(tmp_path / name) == path


def test_the_fingerprint_depends_on_rows_and_not_on_the_file_name(tmp_path: Path) -> None:
    first = generated_text.read_generated(str(write(tmp_path, GOOD)), SINGLE)
    (tmp_path / "copy").mkdir()
    second = generated_text.read_generated(str(write(tmp_path / "copy", GOOD | {"source": 9})), SINGLE)
    changed = generated_text.read_generated(str(write(tmp_path, GOOD | {"text": "b film"})), SINGLE)
    assert first.fingerprint == second.fingerprint != changed.fingerprint


PROBABILITIES = {"negative": 0.2, "positive": 0.8}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: it is not JSON"),
        ('{"text": "\\ud800", "teacher": {}}', "line 2: it is not JSON (it contains '\\ud800', half of a character"),
        ("[" * 100_000, "line 2: it is not JSON (it is nested too deeply"),
        ("[1]", "line 2: expected an object with text, teacher, got list"),
        ({"text": "a"}, "line 2: it lacks teacher (keys of task=sst2: text, wanted, teacher, source)"),
        (GOOD | {"txet": "a"}, "line 2: it has the key 'txet'; did you mean 'text'?"),
        (GOOD | {"text_pair": "b"}, "line 2: it has the key 'text_pair'"),
        (GOOD | {"text": 3}, "line 2: text must be text"),
        (GOOD | {"text": "  "}, "line 2: the text is empty"),
        (GOOD | {"wanted": "good"}, "wanted is 'good', which is not a class (expected negative, positive or null)"),
        (GOOD | {"teacher": [0.2, 0.8]}, "probability of each class (negative, positive), got list"),
        (GOOD | {"teacher": {"negative": 1.0}}, "teacher lacks positive (expected negative, positive)"),
        (GOOD | {"teacher": PROBABILITIES | {"neutral": 0.0}}, "teacher has 'neutral'"),
        (GOOD | {"teacher": PROBABILITIES | {"negative": "0.2"}}, "teacher has '0.2' for negative"),
        (GOOD | {"teacher": PROBABILITIES | {"negative": True}}, "teacher has True for negative"),
        (GOOD | {"teacher": PROBABILITIES | {"negative": 0.5}}, "probabilities sum to 1.3"),
        ('{"text": "a", "teacher": {"negative": NaN, "positive": 1}}', "teacher has nan for negative"),
    ],
)
def test_a_malformed_row_is_named_with_its_line(tmp_path: Path, line: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        generated_text.read_generated(str(write(tmp_path, GOOD, line)), SINGLE)
    assert message in str(caught.value)


def test_an_incomplete_last_line_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 2: .* no line end"):
        generated_text.read_generated(str(write(tmp_path, GOOD, '{"text": "a fi', end="")), SINGLE)


def test_invalid_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(b'{"text": "\xff"}\n')
    with pytest.raises(DataError, match="line 1: it is not JSON"):
        generated_text.read_generated(str(tmp_path), SINGLE)


def test_five_lines_are_named_and_the_others_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 7 problems") as caught:
        generated_text.read_generated(str(write(tmp_path, *["{"] * 7)), SINGLE)
    assert "line 5" in str(caught.value)
    assert "line 6" not in str(caught.value)
    assert "and 2 more" in str(caught.value)


def test_an_empty_file_and_a_missing_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        generated_text.read_generated(str(tmp_path / "nothing"), SINGLE)
    with pytest.raises(DataError, match=r"holds no train\.jsonl.*kdrun method=zskd"):
        generated_text.read_generated(str(tmp_path), SINGLE)
    (tmp_path / "train.jsonl").touch()
    with pytest.raises(DataError, match="is empty"):
        generated_text.read_generated(str(tmp_path), SINGLE)


def test_text_of_another_task_is_refused_by_its_card(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    card(tmp_path, task="cola")
    with pytest.raises(DataError, match=r"task=cola .* task=sst2"):
        generated_text.read_generated(str(tmp_path), SINGLE)
    card(tmp_path, labels=["positive", "negative"])
    with pytest.raises(DataError, match=r"task=sst2 \(positive, negative\).* task=sst2 \(negative, positive\)"):
        generated_text.read_generated(str(tmp_path), SINGLE)


@pytest.mark.parametrize(("text", "message"), [("{", "is not JSON"), ("{}", "task is missing"), ("[1]", "an object")])
def test_a_broken_card_is_refused(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, GOOD)
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(DataError, match=message):
        generated_text.read_generated(str(tmp_path), SINGLE)


@pytest.mark.parametrize("key", ["seed", "generator", "teacher", "provenance", "file"])
def test_a_card_must_have_all_that_the_result_needs(tmp_path: Path, key: str) -> None:
    write(tmp_path, GOOD)
    content = card(tmp_path)
    for value in (None, 1.5, []):
        (tmp_path / "card.json").write_text(json.dumps(content | {key: value}))
        with pytest.raises(DataError, match=rf"card\.json.*{key}"):
            generated_text.read_generated(str(tmp_path), SINGLE)


def test_a_file_that_was_changed_after_its_card_is_named(tmp_path: Path) -> None:
    write(tmp_path, GOOD, GOOD | {"text": "another"})
    card(tmp_path)
    assert len(generated_text.read_generated(str(tmp_path), SINGLE).notes) == 1
    write(tmp_path, GOOD)
    assert "2 rows then, 1 now" in generated_text.read_generated(str(tmp_path), SINGLE).notes[1]


def test_text_without_labels(tmp_path: Path) -> None:
    rows = [GOOD | {"text": f"film {i}"} for i in range(20)]
    write(tmp_path, *rows)
    all_rows = generated_text.read_unlabeled(str(tmp_path), SINGLE, None, seed=1)
    assert (all_rows.name, all_rows.num_rows, all_rows.table.column_names) == ("ood", 20, ["text"])
    some = generated_text.read_unlabeled(str(tmp_path), SINGLE, 5, seed=1)
    assert some.num_rows == 5
    assert "5 of these rows are used (ood.rows)" in some.notes[1]
    assert some.fingerprint != all_rows.fingerprint


def test_only_the_dev_rows_come_from_the_task(tmp_path: Path) -> None:
    write(tmp_path, *[GOOD | {"text": f"film {i}"} for i in range(20)])
    card(tmp_path)
    data = load_dataset(GeneratedDataConfig(name="generated", path=str(tmp_path)), SINGLE)
    assert list(data.splits) == ["dev"]
    assert data.generated is not None
    assert data.student_rows is data.generated
    assert data.all_splits.keys() == {"dev", "generated"}
    assert data.card is not None
    with pytest.raises(DataError, match=r"data-free.* sst2"):
        _ = data.train
    cut = load_dataset(GeneratedDataConfig(name="generated", path=str(tmp_path), max_train_rows=7), SINGLE)
    assert cut.student_rows.num_rows == 7
    assert "trained on 7 of 20 rows, drawn with data.subset_seed=1" in cut.notes
    assert cut.fingerprint != data.fingerprint


def test_real_text_with_synthetic_dev_rows_is_refused(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    card(tmp_path, synthetic=False)
    with pytest.raises(DataError, match=r"real text.* sst2 are synthetic"):
        load_dataset(GeneratedDataConfig(name="generated", path=str(tmp_path)), SINGLE)
    text: Any = ["a"]
    generated_text.check_same_origin(
        make_split("ood", [generated_text.pa.array(text)], None, "corpus"), False, "no card"
    )


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "embedded"),
        ({"dir": "x"}, "folder"),
        ({"dev": DevSource.hub}, "hub"),
        ({"dev": DevSource.folder}, "folder"),
    ],
)
def test_the_source_of_dev_rows(values: dict[str, Any], name: str) -> None:
    config = GeneratedDataConfig(name="generated", path="p", max_train_rows=5, revision="r", **values)
    section = config.task_section
    assert (section.name, section.max_train_rows, section.max_length) == (name, 5, 128)
    assert section.task_section is section
    assert name != "hub" or getattr(section, "revision", None) == "r"


NAMES = TaskConfig(name="names", text=["sentence"], entities=["person", "location"], rows={"train": 9, "dev": 9})
NAMED = {"text": "Ann left", "wanted": "none", "teacher": {"person": 0.7, "location": 0.1, "none": 0.2}}


def test_the_label_of_a_text_task_is_the_teachers_answer(tmp_path: Path) -> None:
    rows = [NAMED | {"answer": "person: Ann", "source": 3}, NAMED | {"text": "Go", "answer": "none"}]
    split = generated_text.read_generated(str(write(tmp_path, *rows)), NAMES)
    assert split.table.to_pydict() == {"text": ["Ann left", "Go"], "label": ["person: Ann", "none"]}
    assert generated_text.read_unlabeled(str(tmp_path), NAMES, None, 1).table.column_names == ["text"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (NAMED, "line 1: it lacks answer (keys of task=names: text, wanted, teacher, answer, source)"),
        (NAMED | {"answer": ["person"]}, "line 1: answer must be text"),
        (NAMED | {"answer": "none", "teacher": {"person": 1.0}}, "lacks location, none"),
    ],
)
def test_a_malformed_answer_is_named_with_its_line(tmp_path: Path, line: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        generated_text.read_generated(str(write(tmp_path, line)), NAMES)
    assert message in str(caught.value)


def test_classes_have_no_answer(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it has the key 'answer'"):
        generated_text.read_generated(str(write(tmp_path, GOOD | {"answer": "positive"})), SINGLE)
