"""Exported students by their export.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from kdrun.deployment.exported_folder import find_export
from kdrun.errors import DataError, ModelError

FACTS: dict[str, Any] = {
    "file": "model.onnx", "task": "sst2", "kind": "classes", "labels": ["bad", "good"], "num_texts": 1,
    "max_length": 64, "split_special_tokens": False, "inputs": ["input_ids", "attention_mask"],
}  # fmt: skip


def write_export(folder: Path, **changes: Any) -> Path:
    (folder / "model.onnx").touch()
    (folder / "export.json").write_text(json.dumps(FACTS | changes))
    return folder


def test_task_of_an_export(tmp_path: Path) -> None:
    found = find_export(write_export(tmp_path, text=["sentence"]))
    assert found is not None
    assert (found.file, found.max_length, found.num_texts) == (tmp_path / "model.onnx", 64, 1)
    assert (found.task.labels, found.task.text, found.task.is_multi_label) == (["bad", "good"], ["sentence"], False)


@pytest.mark.parametrize(("kind", "labels"), [("score", []), ("multi_label", ["a", "b"])])
def test_kinds_of_tasks(tmp_path: Path, kind: str, labels: list[str]) -> None:
    found = find_export(write_export(tmp_path, kind=kind, labels=labels or ["score"], num_texts=None))
    assert found is not None
    assert (found.task.labels, found.task.is_regression) == (labels, kind == "score")
    assert (found.task.is_multi_label, found.num_texts) == (kind == "multi_label", None)


def test_other_folders_are_no_export(tmp_path: Path) -> None:
    assert find_export(tmp_path) is None
    assert find_export(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file": "../model.onnx"}, r"export\.json.*file must be the name of a file"),
        ({"kind": "other"}, r"kind must be classes, multi_label or score"),
        ({"max_length": 0}, r"max_length must be a number of tokens"),
        ({"labels": [1]}, "labels"),
    ],
)
def test_damaged_facts(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_export(write_export(tmp_path, **changes))


def test_missing_model_file(tmp_path: Path) -> None:
    write_export(tmp_path)
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"has no model\.onnx.*export the run again"):
        find_export(tmp_path)
