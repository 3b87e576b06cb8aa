"""Batched inference of a model over tokenized rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from kdrun import progress, ranks, sharding
from kdrun.data.samplers import longest_first_batches
from kdrun.data.tokenization import TokenizedSplit
from kdrun.data.transfer import to_device
from kdrun.errors import TrainingError


@dataclass(frozen=True)
class Predictor:
    """Runs models over the rows of a split.

    Attributes:
        accelerator: device and arithmetic.
        batch_size: rows per batch.
    """

    accelerator: Accelerator
    batch_size: int

    def batches(
        self, tokens: TokenizedSplit, label: str, limit: int | None = None, evenly: bool = False
    ) -> Iterator[np.ndarray]:
        """Yield the row numbers of this process's batches, [batch] each, longest rows first, and report the progress.

        Args:
            tokens: the rows.
            label: name of the activity.
            limit: number of batches to run, for a dry run; None for all.
            evenly: whether every process needs as many batches, because each pass gathers divided weights from all; a
                process that has one fewer repeats one, whose values `collect` drops.
        """
        batches = longest_first_batches(tokens.lengths, self.batch_size)[:limit]
        return progress.track_batches(ranks.share_evenly(batches)[0] if evenly else ranks.share(batches), label)

    def collect(self, values: np.ndarray, tokens: TokenizedSplit, limit: int | None = None) -> np.ndarray:
        """Complete the values of all rows, [rows, …], with those that other processes computed in their batches.

        Args:
            values: with the rows of this process's batches; changed in place.
            tokens: the rows.
            limit: as for `batches`.
        """
        if ranks.size() > 1:
            batches = ranks.share(longest_first_batches(tokens.lengths, self.batch_size)[:limit])
            rows = np.concatenate([*batches, np.empty(0, np.int64)]).astype(np.int64)
            for other_rows, other_values in ranks.gather((rows, values[rows])):
                values[other_rows] = other_values
        return values

    @contextmanager
    def inference_mode(self, model: nn.Module) -> Iterator[None]:
        """Put the model in evaluation mode, without gradients, in the run's arithmetic; restore its mode afterwards."""
        was_training = model.training
        model.eval()
        # weights that are gathered in inference mode could not be trained afterwards
        no_gradients = torch.no_grad() if sharding.is_sharded(model) else torch.inference_mode()
        with no_gradients, self.accelerator.autocast():
            yield
        model.train(was_training)

    def logits(self, model: nn.Module, tokens: TokenizedSplit, width: int, limit: int | None = None) -> np.ndarray:
        """Logits of a model in row order, [rows, width], float32.

        Args:
            model: takes the columns of the split, returns `.logits`.
            tokens: the rows.
            width: number of outputs of the model.
            limit: number of batches to run, for a dry run; the other rows are NaN.

        Raises:
            TrainingError: a logit is not finite, which an argmax would hide.
        """
        out = np.full((tokens.num_rows, width), np.nan, dtype=np.float32)
        with self.inference_mode(model):
            for rows in self.batches(tokens, "scoring", limit, evenly=sharding.is_sharded(model)):
                batch = {k: to_device(v, self.accelerator.device) for k, v in tokens.batch(rows).items()}
                out[rows] = model(**batch).logits.float().cpu().numpy()
        self.collect(out, tokens, limit)
        bad_rows = np.flatnonzero(~np.isfinite(out).all(axis=-1)) if limit is None else []
        if len(bad_rows):
            raise TrainingError(
                f"the {type(model).__name__} gives logits that are not finite on {len(bad_rows)} of {len(out)} rows "
                f"(the first is row {bad_rows[0]}): the model has diverged; lower the learning rate, or try "
                "runtime.precision=fp32"
            )
        return out
