"""Packed rows equal padded ones, and shares of padding by hand."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from benchmarks import padding
from kdrun.data.tokenization import TokenizedSplit


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
def test_packed_rows_have_the_states_and_gradients_of_padded_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [[1, 5, 2], [1, 7, 8, 9, 3, 2], [1, 2]]
    lists = {"input_ids": pa.array(ids, pa.list_(pa.int32())), "token_type_ids": pa.array([[0] * len(i) for i in ids])}
    monkeypatch.setattr(
        padding, "sizes", lambda *_: {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2}
    )
    padded_model, packed_model = padding.models(vocab=20)
    batch = TokenizedSplit(pa.table(lists), 0, 0, "").batch(np.arange(3))
    inputs = padding.packed(batch)
    assert inputs["input_ids"].tolist() == [[token for row in ids for token in row]]
    assert inputs["position_ids"].tolist() == [[0, 1, 2, 0, 1, 2, 3, 4, 5, 0, 1]]
    assert padding.OFFSETS[0].tolist() == [0, 3, 9, 11]
    expected = padding.step(padded_model, batch, batch["attention_mask"].bool())
    torch.testing.assert_close(padding.step(packed_model, inputs, None), expected, atol=1e-5, rtol=1e-5)
    assert padding.gradient_difference(packed_model, padded_model) < 1e-5


def test_the_share_of_padding() -> None:
    lengths = np.array([2, 4, 3, 3])
    assert padding.padding_share(lengths, [np.array([0, 1]), np.array([2, 3])]) == pytest.approx(2 / 14)
    assert all(share == 0.0 for share in padding.shares(np.full(70, 5)))
