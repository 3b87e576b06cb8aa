"""What an encoder that has not been tuned makes of a task's rows, computed once and kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from kdrun import cache
from kdrun.data.batching import by_length
from kdrun.data.tokens import TokenTable
from kdrun.models.built import Built
from kdrun.teachers.domain_branch import mean_of_tokens

BATCH = 64


def states(built: Built, tokens: TokenTable, accelerator: Accelerator, tell: Callable[[str], None]) -> np.ndarray:
    """h(x): the mean of the last hidden states over a row's tokens, `[CLS]` and padding left out.

    Args:
        built: the encoder before any fine-tuning; its head takes no part.
        tokens: the rows.
        accelerator: device and arithmetic.
        tell: is told of what takes a while.

    Returns:
        [rows, width] float32, memory-mapped.
    """
    key = {"format": 1, "encoder": built.fingerprint, "tokens": tokens.fingerprint}
    key |= {"precision": accelerator.mixed_precision, "device": accelerator.device.type}

    def build(folder: Path) -> None:
        tell(f"the encoder reads {tokens.num_rows} rows for the prototypes of their domains, once")
        np.save(folder / "states.npy", _encode(built, tokens, accelerator))

    return cache.fetch("states", key, build, lambda folder: np.load(folder / "states.npy", mmap_mode="r"))[0]


def _encode(built: Built, tokens: TokenTable, accelerator: Accelerator) -> np.ndarray:
    model = built.model.eval()
    out = np.empty((tokens.num_rows, model.config.hidden_size), np.float32)
    with torch.inference_mode(), accelerator.autocast():
        for rows in by_length(tokens.lengths, BATCH):
            batch = {name: value.to(accelerator.device) for name, value in tokens.batch(rows).items()}
            hidden = model.base_model(**batch).last_hidden_state
            out[rows] = mean_of_tokens(hidden, batch["attention_mask"], skip=1).cpu().numpy()
    return out
