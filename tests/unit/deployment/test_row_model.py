"""Logits of all rows, by batches of similar length."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest
from torch import Tensor

from kdrun.data.tokenization import TokenizedSplit
from kdrun.deployment.row_model import logits, logits_in_order

ROWS = [[5], [7, 8, 9], [6, 4], [3, 3, 3, 3], [2]]


class SumModel:
    """Adds the ids of each row, and counts its rows."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def __call__(self, batch: Mapping[str, Tensor]) -> np.ndarray:
        self.sizes.append(tuple(batch["input_ids"].shape))
        return (batch["input_ids"] * batch["attention_mask"]).sum(1, keepdim=True).float().numpy()


@pytest.fixture
def tokens() -> TokenizedSplit:
    return TokenizedSplit(pa.table({"input_ids": pa.array(ROWS, pa.large_list(pa.int32()))}), 1, 0, "")


def test_logits_are_in_row_order(tokens: TokenizedSplit) -> None:
    model = SumModel()
    assert logits_in_order(model, tokens, 2, "scoring").tolist() == [[5.0], [24.0], [10.0], [12.0], [2.0]]
    assert model.sizes == [(2, 4), (2, 2), (1, 1)]


def test_logits_of_chosen_batches(tokens: TokenizedSplit) -> None:
    batches = [np.array([4, 0]), np.array([1])]
    assert logits(SumModel(), tokens, batches, "scoring").tolist() == [[2.0], [5.0], [24.0]]
