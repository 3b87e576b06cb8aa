"""Whole runs with student=bow: training, saving, export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from kdrun.deployment import onnx_export, peak_memory
from kdrun.deployment.onnx_model import OnnxModel
from kdrun.deployment.row_model import TorchModel, logits_in_order
from kdrun.deployment.saved_model import load_saved
from tests.helpers.runs import finish, read_lines, smoke_config

pytestmark = pytest.mark.usefixtures("run_env")


def test_a_bag_of_words_of_pairs_is_trained_and_saved(tmp_path: Path) -> None:
    config = smoke_config(tmp_path, "method=kd", "task=rte", "student=bow", "student.buckets=512", "optim.lr=0.1")
    run = finish(config)
    student = run.result["student"]
    assert (student["name"], student["params"]) == ("bag of words, 1–2-grams", 2 * (512 + 1))
    assert "AutoModel" not in run.output
    weights = load_file(run.run_dir / "student" / "model.safetensors")
    assert weights["classifier.weight"].any()

    saved = load_saved(run.run_dir)
    rows = read_lines(run.run_dir / "predictions.jsonl")[:20]
    tokens = saved.tokenize([(row["text"], row["text_pair"]) for row in rows])
    logits = logits_in_order(TorchModel(saved), tokens, 7, "scoring")
    np.testing.assert_allclose(logits, [row["logits"] for row in rows], atol=1e-5)

    batch = {name: values.tolist() for name, values in tokens.batch(np.arange(3)).items()}
    task = {"path": str(saved.folder), "form": "bag_of_words", "batch": batch, "threads": 1}
    assert peak_memory._run_torch(task) > 0


@pytest.mark.slow
def test_an_exported_bag_of_words_gives_the_same_logits(tmp_path: Path) -> None:
    saved = load_saved(finish(smoke_config(tmp_path, "method=kd", "task=rte", "student=bow", "optim.lr=0.1")).run_dir)
    onnx_export.check_exportable(saved)
    onnx_export.write_onnx(saved, tmp_path / "model.onnx")
    tokens = saved.tokenize([("a cat", "a dog and a cat"), ("it sees", "it"), ("the end", "the end")] * 3)
    exported = logits_in_order(OnnxModel(tmp_path / "model.onnx"), tokens, 4, "scoring")
    np.testing.assert_allclose(exported, logits_in_order(TorchModel(saved), tokens, 4, "scoring"), atol=1e-6)
    assert np.ptp(exported) > 0
