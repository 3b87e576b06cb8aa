"""Comparison of a file with PyTorch, and the limits of what is kept."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from kdrun.deployment import export
from kdrun.deployment.dev_rows import read_dev_rows
from kdrun.deployment.parity import Parity, ParityCheck
from kdrun.deployment.row_model import RowModel, TorchModel
from kdrun.deployment.saved_model import SavedModel, load_saved
from kdrun.errors import DataError, ModelError
from tests.helpers.saved_students import MAX_LENGTH, finish_run, save_run

PARITY = Parity(
    rows=9, differences={"single rows": 1e-6}, max_difference=1e-6, relative_difference=1e-6, same_answer=1.0,
    metric="accuracy", split="dev", score=0.9, torch_score=0.9,
)  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> SavedModel:
    return load_saved(finish_run(save_run(tmp_path_factory.mktemp("runs") / "run")))


def check_of(saved: SavedModel) -> ParityCheck:
    assert saved.run is not None
    return ParityCheck(saved, read_dev_rows(saved.run, saved.task_type), "accuracy", "dev")


def changed(saved: SavedModel, change: Any) -> RowModel:
    """PyTorch's logits, changed by a function of the batch."""
    model = TorchModel(saved)

    def call(batch: Mapping[str, Tensor]) -> np.ndarray:
        return change(model(batch).copy(), batch)

    return call


def test_pytorch_agrees_with_itself(saved: SavedModel) -> None:
    parity = check_of(saved).compare(TorchModel(saved), "itself")
    assert (parity.rows, parity.same_answer, parity.score, parity.torch_score) == (40, 1.0, 1.0, 1.0)
    assert parity.relative_difference < 1e-5
    assert set(parity.differences) == {
        "batches of 32", "single rows", "shortest and longest row", f"row of {MAX_LENGTH} tokens"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "place"),
    [
        (lambda batch: len(batch["input_ids"]) == 1, "single rows"),
        (lambda batch: batch["input_ids"].shape == (1, MAX_LENGTH), f"row of {MAX_LENGTH} tokens"),
        (lambda batch: len(batch["input_ids"]) == 2, "shortest and longest row"),
        (lambda batch: len(batch["input_ids"]) > 2, "batches of 32"),
    ],
)
def test_a_difference_in_one_way_of_calling_is_found(saved: SavedModel, condition: Any, place: str) -> None:
    parity = check_of(saved).compare(changed(saved, lambda out, batch: out + 0.5 * condition(batch)), "a file")
    assert parity.max_difference == pytest.approx(0.5, rel=1e-3)
    assert parity.differences[place] == pytest.approx(0.5, rel=1e-3)
    with pytest.raises(ModelError, match=rf"{place} 0\.5.*not kept"):
        export._check_fp32(parity)


def test_other_answers_lower_share_and_score(saved: SavedModel) -> None:
    parity = check_of(saved).compare(changed(saved, lambda out, batch: -out), "a file")
    assert parity.same_answer == parity.score == 0.0
    with pytest.raises(ModelError, match=r"accuracy 0\.0 %, PyTorch 100\.0 %.*keep=0\.99"):
        export._check_int8(parity, 0.99)
    export._check_int8(parity, 0)


def test_values_that_are_not_finite_are_refused(saved: SavedModel) -> None:
    parity = check_of(saved).compare(changed(saved, lambda out, batch: out * np.nan), "a file")
    with pytest.raises(ModelError, match="nan"):
        export._check_fp32(parity)


@pytest.mark.parametrize(
    ("score", "torch_score", "keeps"),
    [
        (0.89, 0.9, False),
        (0.892, 0.9, True),
        (0.95, 0.9, True),
        (-0.1, -0.1, True),
        (-0.2, -0.1, False),
        (None, 0.9, False),
    ],
)
def test_kept_share_of_a_score(score: float | None, torch_score: float, keeps: bool) -> None:
    assert replace(PARITY, score=score, torch_score=torch_score).keeps(0.99) is keeps


def test_a_foreign_label_in_the_predictions_is_refused(saved: SavedModel, tmp_path: Path) -> None:
    assert saved.run is not None
    lines = (saved.run.path / "predictions.jsonl").read_text().splitlines()
    (tmp_path / "predictions.jsonl").write_text(lines[0] + "\n" + lines[1].replace('"gold": "', '"gold": "x'))
    with pytest.raises(DataError, match=r"predictions\.jsonl, line 2: gold='x"):
        read_dev_rows(replace(saved.run, path=tmp_path), saved.task_type)
    with pytest.raises(ModelError, match="missing"):
        read_dev_rows(replace(saved.run, path=tmp_path / "none"), saved.task_type)
