"""Loading of saved students, from a run directory or a plain folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from kdrun.deployment import saved_folder
from kdrun.deployment.saved_model import load_saved
from kdrun.errors import DataError, KdrunError, ModelError
from tests.helpers.saved_students import MAX_LENGTH, record_of, save_run
from tests.helpers.tiny_models import MNLI

PAIRS = [("  the cat sees the dog ", "the dog is happy"), ("the horse " * 30, "it runs")]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("runs") / "run")


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_the_student_of_a_run_answers_as_in_plain_transformers(run_dir: Path) -> None:
    saved = load_saved(run_dir)
    assert saved.run is not None
    assert (saved.folder, saved.labels, saved.max_length) == (run_dir / "student", MNLI.labels, MAX_LENGTH)
    tokens = saved.tokenize(PAIRS)
    assert tokens.num_truncated == 1
    tokenizer: Any = AutoTokenizer.from_pretrained(saved.folder)
    model: Any = AutoModelForSequenceClassification.from_pretrained(saved.folder)
    with torch.no_grad():
        logits = saved.model(**tokens.batch(np.arange(2))).logits.numpy()
        for row, (first, second) in enumerate(PAIRS):
            inputs = tokenizer(first.strip(), second, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
            np.testing.assert_allclose(logits[row], model(**inputs).logits[0].numpy(), atol=1e-5)


def test_the_student_folder_of_a_run_has_the_facts_of_the_run(run_dir: Path) -> None:
    saved = saved_folder.find_saved(run_dir / "student")
    assert saved.run is not None
    assert (saved.run.path, saved.max_length, saved.num_texts) == (run_dir, MAX_LENGTH, 2)
    with pytest.raises(ModelError, match=r"no result\.json.*kdrun resume"):
        saved.run.result()


def test_a_copied_folder_has_the_labels_of_its_config(run_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(run_dir / "student", tmp_path / "copy")
    saved = load_saved(tmp_path / "copy")
    assert saved.run is None
    assert saved.labels == MNLI.labels
    assert saved.max_length == 80  # positions of the model
    assert load_saved(tmp_path / "copy", max_length=7).max_length == 7
    edit(tmp_path / "copy" / "config.json", id2label={"0": "a", "2": "b"})
    with pytest.raises(DataError, match=r"id2label must be 0 … 1, got 0, 2"):
        load_saved(tmp_path / "copy")


def test_a_model_without_a_trained_head_is_refused(run_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(run_dir / "student", tmp_path / "copy")
    edit(tmp_path / "copy" / "config.json", architectures=["BertForMaskedLM"])
    with pytest.raises(ModelError, match=r"no trained head"):
        load_saved(tmp_path / "copy")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"run\.json is missing.*it holds nothing"),
        ({"run.json": record_of()}, r"no folder student: the run has not ended.*kdrun resume"),
        ({"run.json": record_of(), "result.json": {}}, r"no folder student: it was removed"),
        ({"run.json": record_of(), "domains/x/student/config.json": {}}, r"student per domain.*domains/x$"),
        ({"run.json": record_of(labels=1), "student/config.json": {}}, r"labels must be a list, got 1"),
        ({"run.json": record_of(text=[3]), "student/config.json": {}}, r"text\[0\] must be text, got 3"),
        ({"config.json": {"id2label": [1]}}, r"id2label must be an object"),
    ],
)
def test_folders_without_a_usable_model(files: dict[str, Any], message: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(KdrunError, match=message):
        saved_folder.find_saved(tmp_path)


def test_a_missing_folder_names_a_similar_one(run_dir: Path) -> None:
    with pytest.raises(ModelError, match=r"no such folder.*run"):
        saved_folder.find_saved(run_dir.parent / "rum")
