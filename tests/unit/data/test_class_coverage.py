"""Labels among the training rows: one label is refused, a missing class is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from kdrun.config import compose
from kdrun.config.task import TaskConfig
from kdrun.data.class_coverage import check_labels_differ, coverage_warnings
from kdrun.data.run_data import load_run_data
from kdrun.data.splits import Split, make_split
from kdrun.errors import DataError

CLASSES = TaskConfig(name="toy", labels=["no", "maybe", "yes"])


def rows(labels: pa.Array) -> Split:
    return make_split("train", [pa.array([f"text {i}" for i in range(len(labels))])], labels, "TOY/train.tsv")


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        (CLASSES, pa.array([2, 2, 2]), r"all 3 training rows of toy \(TOY/train.tsv\) have the class yes"),
        (CLASSES, pa.array([0]), r"all 1 training row of toy .* the class no"),
        (TaskConfig(name="toy"), pa.array([2.5, 2.5]), r"all 2 training rows of toy .* the label 2\.5"),
        (TaskConfig(name="toy"), pa.array(["none", "none"]), r"all 2 training rows of toy .* the label 'none'"),
    ],
)
def test_rows_of_one_label_are_refused_with_the_label_and_the_count(task: TaskConfig, labels: pa.Array, message: str):
    with pytest.raises(DataError, match=message):
        check_labels_differ(rows(labels), task)


@pytest.mark.parametrize("labels", [pa.array([0, 1]), pa.array([2.5, 2.4]), pa.array(["none", "person: a"])])
def test_two_labels_are_enough(labels: pa.Array):
    check_labels_differ(rows(labels), CLASSES if pa.types.is_integer(labels.type) else TaskConfig(name="toy"))


def test_classes_without_a_training_row_are_named_with_the_counts_of_the_others():
    (warning,) = coverage_warnings(rows(pa.array([0, 0, 2])), CLASSES)
    assert "train has no row of the class maybe of toy (no 2, yes 1)" in warning
    (warning,) = coverage_warnings(rows(pa.array([1, 1])), CLASSES)
    assert "the classes no and yes" in warning
    assert coverage_warnings(rows(pa.array([0, 1, 2])), CLASSES) == []
    assert coverage_warnings(rows(pa.array([0.5, 1.0])), replace(CLASSES, labels=[])) == []


def test_a_run_reads_no_training_rows_of_one_class_and_warns_of_a_missing_one(tmp_path: Path):
    folder = tmp_path / "MNLI"
    folder.mkdir()
    header = "sentence1\tsentence2\tgold_label\n"
    for name in ("dev_matched", "dev_mismatched"):
        (folder / f"{name}.tsv").write_text(f"{header}a\tb\tneutral\nc\td\tentailment\n")
    overrides = ["method=finetune", "task=mnli", "preset=smoke", "data=folder", f"data.dir={tmp_path}"]
    config = compose.load_config(overrides)
    train = folder / "train.tsv"
    train.write_text(header + "".join(f"a {i}\tb\tneutral\n" for i in range(5)))
    with pytest.raises(DataError, match=r"all 5 training rows .*MNLI/train\.tsv.* class neutral"):
        load_run_data(config)
    train.write_text(header + "".join(f"a {i}\tb\t{('neutral', 'entailment')[i % 2]}\n" for i in range(5)))
    (warning,) = load_run_data(config).warnings
    assert "class contradiction" in warning
