"""Cache the teacher's hidden states and attention maps on disk.

Only the layers that the student is compared with are kept, and of each row its own tokens: one memory-mapped file of
states and one of maps, in half precision.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from kdrun.data.samplers import longest_first_batches
from kdrun.data.tokenization import TokenizedSplit
from kdrun.errors import DataError
from kdrun.methods.shared.intermediate_layers import TeacherStateSpec
from kdrun.models.bundle import ModelBundle
from kdrun.storage import cache

log = logging.getLogger(__name__)

BATCH = 32
LOWEST = -60000.0
"""Stands for masked scores, which are lower than half precision can hold; like them it counts as 0 (≤ −100)."""


class CachedStates:
    """What was kept, as batches.

    Args:
        folder: holds `states.npy` [Σ length, states, width] and `maps.npy` [Σ length², layers, heads].
        lengths: tokens of each row, [rows].
        wanted: what was kept.
    """

    def __init__(self, folder: Path, lengths: np.ndarray, wanted: TeacherStateSpec) -> None:
        self.states = np.load(folder / "states.npy", mmap_mode="r")
        self.maps = np.load(folder / "maps.npy", mmap_mode="r")
        self.lengths, self.wanted = lengths.astype(np.int64), wanted
        self.first = np.concatenate([[0], np.cumsum(self.lengths)])
        self.first_map = np.concatenate([[0], np.cumsum(self.lengths**2)])

    def batch(self, rows: np.ndarray, device: torch.device) -> Any:
        """As the teacher's own outputs on these rows, padded with zeros to the longest: `hidden_states`, `attentions`.

        Both are mappings from the teacher's layer to [batch, length, width] and [batch, heads, length, length].
        """
        width = int(self.lengths[rows].max())
        states = np.zeros((len(rows), width, *self.states.shape[1:]), self.states.dtype)
        maps = np.zeros((len(rows), width, width, *self.maps.shape[1:]), self.maps.dtype)
        for i, row in enumerate(rows):
            n = int(self.lengths[row])
            states[i, :n] = self.states[self.first[row] : self.first[row + 1]]
            maps[i, :n, :n] = self.maps[self.first_map[row] : self.first_map[row + 1]].reshape(n, n, *maps.shape[3:])
        hidden, attention = torch.from_numpy(states).to(device), torch.from_numpy(maps).to(device)
        return SimpleNamespace(
            hidden_states={layer: hidden[:, :, i].float() for i, layer in enumerate(self.wanted.hidden_states)},
            attentions={
                layer: attention[:, :, :, i].permute(0, 3, 1, 2).float()
                for i, layer in enumerate(self.wanted.attention_layers)
            },
        )


def cached_states(
    built: ModelBundle,
    tokens: TokenizedSplit,
    wanted: TeacherStateSpec,
    accelerator: Accelerator,
) -> CachedStates:
    """The teacher's states and maps of all rows, computed once per (teacher, rows, layers) and read memory-mapped.

    Args:
        built: the teacher, frozen.
        tokens: the rows.
        wanted: which layers, and how their maps.
        accelerator: device and arithmetic.

    Raises:
        DataError: the disk has no room for them.
    """
    key = {"format": 1, "teacher": built.fingerprint, "tokens": tokens.fingerprint, "states": wanted.hidden_states}
    key |= {"layers": wanted.attention_layers, "maps": wanted.maps, "averaged": wanted.average_heads}
    key |= {"precision": accelerator.mixed_precision, "device": accelerator.device.type}

    def build(folder: Path) -> None:
        shapes = _shapes(built, tokens, wanted)
        size = sum(2 * int(np.prod(shape, dtype=np.int64)) for shape in shapes.values())
        _check_disk_space(size, folder)
        megabytes = f"{size / 1e6:,.0f} MB"
        log.info("the teacher's hidden states and attention maps of %d rows: %s on disk", tokens.num_rows, megabytes)
        files = {
            name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.float16, shape=shape)
            for name, shape in shapes.items()
        }
        _fill(files, built, tokens, wanted, accelerator)
        for file in files.values():
            file.flush()

    return cache.fetch("teacher_states", key, build, lambda folder: CachedStates(folder, tokens.lengths, wanted))[0]


def _shapes(built: ModelBundle, tokens: TokenizedSplit, wanted: TeacherStateSpec) -> dict[str, tuple[int, ...]]:
    lengths = tokens.lengths.astype(np.int64)
    heads = 1 if wanted.average_heads else int(built.model.config.num_attention_heads)
    return {
        "states": (int(lengths.sum()), len(wanted.hidden_states), int(built.model.config.hidden_size)),
        "maps": (int((lengths**2).sum()), len(wanted.attention_layers), heads),
    }


def _check_disk_space(size: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if size > 0.9 * free:
        raise DataError(
            f"the teacher's hidden states and attention maps take {size / 1e9:.1f} GB, and {folder.parent} has "
            f"{free / 1e9:.1f} GB free: compute them at every step instead (method.teacher_states=recompute), or move "
            "the cache (KDRUN_CACHE=FOLDER)"
        )


def _fill(
    files: Mapping[str, np.ndarray],
    built: ModelBundle,
    tokens: TokenizedSplit,
    wanted: TeacherStateSpec,
    accelerator: Accelerator,
) -> None:
    lengths = tokens.lengths.astype(np.int64)
    first = np.concatenate([[0], np.cumsum(lengths)])
    first_map = np.concatenate([[0], np.cumsum(lengths**2)])
    model = built.model.eval()
    with torch.inference_mode(), accelerator.autocast():
        for rows in longest_first_batches(tokens.lengths, BATCH):
            inputs = {name: value.to(accelerator.device) for name, value in tokens.batch(rows).items()}
            out = wanted.forward(model, inputs)
            states = torch.stack([out.hidden_states[i].float() for i in wanted.hidden_states], dim=2)
            maps = [out.attentions[i].float() for i in wanted.attention_layers]
            maps = [each.mean(dim=1, keepdim=True) if wanted.average_heads else each for each in maps]
            maps = torch.stack(maps, dim=1).permute(0, 3, 4, 1, 2).clamp(min=LOWEST)
            found, seen = states.half().cpu().numpy(), maps.half().cpu().numpy()
            for i, row in enumerate(rows):
                n = int(lengths[row])
                files["states"][first[row] : first[row + 1]] = found[i, :n]
                files["maps"][first_map[row] : first_map[row + 1]] = seen[i, :n, :n].reshape(n * n, *seen.shape[3:])
