"""Cache mean-pooled encoder embeddings of the training rows."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from kdrun.data.samplers import longest_first_batches
from kdrun.data.tokenization import TokenizedSplit
from kdrun.data.transfer import to_device
from kdrun.models.bundle import ModelBundle
from kdrun.models.domain_embedding import mean_pool
from kdrun.progress import track_batches
from kdrun.storage import cache

log = logging.getLogger(__name__)

BATCH = 64


def cached_embeddings(bundle: ModelBundle, tokens: TokenizedSplit, accelerator: Accelerator) -> np.ndarray:
    """h(x): the mean of the last hidden states over a row's tokens, without `[CLS]` and padding.

    Args:
        bundle: the encoder before any fine-tuning; the head is not used.
        tokens: the rows.
        accelerator: device and arithmetic.

    Returns:
        [rows, width] float32, memory-mapped.
    """
    key = {"format": 1, "encoder": bundle.fingerprint, "tokens": tokens.fingerprint}
    key |= {"precision": accelerator.mixed_precision, "device": accelerator.device.type}

    def build(folder: Path) -> None:
        log.info("the encoder embeds %d rows for the prototypes of their domains, once", tokens.num_rows)
        np.save(folder / "states.npy", _encode(bundle, tokens, accelerator))

    return cache.fetch("states", key, build, lambda folder: np.load(folder / "states.npy", mmap_mode="r"))[0]


def _encode(bundle: ModelBundle, tokens: TokenizedSplit, accelerator: Accelerator) -> np.ndarray:
    model = bundle.model.eval()
    out = np.empty((tokens.num_rows, model.config.hidden_size), np.float32)
    with torch.inference_mode(), accelerator.autocast():
        for rows in track_batches(longest_first_batches(tokens.lengths, BATCH), "embedding rows"):
            batch = {name: to_device(value, accelerator.device) for name, value in tokens.batch(rows).items()}
            hidden = model.base_model(**batch).last_hidden_state
            out[rows] = mean_pool(hidden, batch["attention_mask"], skip=1).cpu().numpy()
    return out
