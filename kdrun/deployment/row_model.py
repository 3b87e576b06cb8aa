"""A saved student as a function from batches of tokens to logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from kdrun import progress
from kdrun.data.samplers import longest_first_batches
from kdrun.data.tokenization import TokenizedSplit
from kdrun.deployment.saved_model import SavedModel


class RowModel(Protocol):
    """Computes logits: PyTorch (`TorchModel`) or a file (`kdrun.deployment.onnx_model.OnnxModel`)."""

    def __call__(self, batch: Mapping[str, Tensor]) -> np.ndarray:
        """The logits of a batch as from `TokenizedSplit.batch`, [rows, outputs] float32."""
        ...


class TorchModel:
    """PyTorch's forward pass in fp32 on the CPU.

    Args:
        saved: a saved student with logits.
    """

    def __init__(self, saved: SavedModel) -> None:
        self._model = saved.model.eval()

    def __call__(self, batch: Mapping[str, Tensor]) -> np.ndarray:
        """The logits of a batch, [rows, outputs] float32."""
        with torch.inference_mode():
            return self._model(**batch).logits.numpy()


def logits(model: RowModel, tokens: TokenizedSplit, batches: Sequence[np.ndarray], label: str) -> np.ndarray:
    """Logits of the rows of these batches, in the order of the batches, [rows, outputs] float32.

    Args:
        model: computes the logits.
        tokens: the rows.
        batches: row numbers of each batch.
        label: name of the activity.
    """
    return np.concatenate([model(tokens.batch(rows)) for rows in progress.track_batches(batches, label)])


def logits_in_order(model: RowModel, tokens: TokenizedSplit, batch_size: int, label: str) -> np.ndarray:
    """Logits of all rows in row order, [rows, outputs] float32; batches hold rows of similar length."""
    batches = longest_first_batches(tokens.lengths, batch_size)
    values = logits(model, tokens, batches, label)
    out = np.empty_like(values)
    out[np.concatenate(batches)] = values
    return out
