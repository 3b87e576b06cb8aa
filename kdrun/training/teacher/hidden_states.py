"""Cache the teacher's hidden states and attention maps on disk.

The cache holds only the layers that the student is compared with, and no padding: one memory-mapped file of states
and one of maps, in half precision.
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
from kdrun.data.transfer import to_device
from kdrun.errors import DataError
from kdrun.methods.shared.intermediate_layers import TeacherStateSpec
from kdrun.models.bundle import ModelBundle
from kdrun.progress import track_batches
from kdrun.storage import cache

log = logging.getLogger(__name__)

BATCH = 32
LOWEST = -60000.0
"""Replaces masked scores, which are below the range of half precision; losses count both as 0 (≤ −100)."""


class CachedStates:
    """Cached hidden states and attention maps, in batches.

    Args:
        folder: holds `states.npy` [Σ length, states, width] and `maps.npy` [Σ length², layers, heads].
        lengths: tokens of each row, [rows].
        spec: layers of the states and maps.
    """

    def __init__(self, folder: Path, lengths: np.ndarray, spec: TeacherStateSpec) -> None:
        self.states = np.load(folder / "states.npy", mmap_mode="r")
        self.maps = np.load(folder / "maps.npy", mmap_mode="r")
        self.lengths, self.spec = lengths.astype(np.int64), spec
        self.first = np.concatenate([[0], np.cumsum(self.lengths)])
        self.first_map = np.concatenate([[0], np.cumsum(self.lengths**2)])

    def batch(self, rows: np.ndarray, device: torch.device) -> Any:
        """The teacher's `hidden_states` and `attentions` on these rows, padded with zeros to the longest row.

        Both are mappings from the teacher's layer to [batch, length, width] and [batch, heads, length, length].
        """
        width = int(self.lengths[rows].max())
        states = np.zeros((len(rows), width, *self.states.shape[1:]), self.states.dtype)
        maps = np.zeros((len(rows), width, width, *self.maps.shape[1:]), self.maps.dtype)
        for i, row in enumerate(rows):
            n = int(self.lengths[row])
            states[i, :n] = self.states[self.first[row] : self.first[row + 1]]
            maps[i, :n, :n] = self.maps[self.first_map[row] : self.first_map[row + 1]].reshape(n, n, *maps.shape[3:])
        hidden, attention = (to_device(torch.from_numpy(values), device) for values in (states, maps))
        return SimpleNamespace(
            hidden_states={layer: hidden[:, :, i].float() for i, layer in enumerate(self.spec.hidden_states)},
            attentions={
                layer: attention[:, :, :, i].permute(0, 3, 1, 2).float()
                for i, layer in enumerate(self.spec.attention_layers)
            },
        )


def cached_states(
    bundle: ModelBundle,
    tokens: TokenizedSplit,
    spec: TeacherStateSpec,
    accelerator: Accelerator,
) -> CachedStates:
    """The teacher's states and maps of all rows, computed once per (teacher, rows, layers) and memory-mapped.

    Args:
        bundle: the teacher, frozen.
        tokens: the rows.
        spec: layers of states and maps, and the kind of maps.
        accelerator: device and arithmetic.

    Raises:
        DataError: the disk has too little free space.
    """
    key = {"format": 1, "teacher": bundle.fingerprint, "tokens": tokens.fingerprint, "states": spec.hidden_states}
    key |= {"layers": spec.attention_layers, "maps": spec.maps, "averaged": spec.average_heads}
    key |= {"precision": accelerator.mixed_precision, "device": accelerator.device.type}

    def build(folder: Path) -> None:
        shapes = _shapes(bundle, tokens, spec)
        size = sum(2 * int(np.prod(shape, dtype=np.int64)) for shape in shapes.values())
        _check_disk_space(size, folder)
        megabytes = f"{size / 1e6:,.0f} MB"
        log.info("the teacher's hidden states and attention maps of %d rows: %s on disk", tokens.num_rows, megabytes)
        files = {
            name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.float16, shape=shape)
            for name, shape in shapes.items()
        }
        _fill(files, bundle, tokens, spec, accelerator)
        for file in files.values():
            file.flush()

    return cache.fetch("teacher_states", key, build, lambda folder: CachedStates(folder, tokens.lengths, spec))[0]


def _shapes(bundle: ModelBundle, tokens: TokenizedSplit, spec: TeacherStateSpec) -> dict[str, tuple[int, ...]]:
    lengths = tokens.lengths.astype(np.int64)
    heads = 1 if spec.average_heads else int(bundle.model.config.num_attention_heads)
    return {
        "states": (int(lengths.sum()), len(spec.hidden_states), int(bundle.model.config.hidden_size)),
        "maps": (int((lengths**2).sum()), len(spec.attention_layers), heads),
    }


def _check_disk_space(size: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if size > 0.9 * free:
        raise DataError(
            f"the teacher's hidden states and attention maps need {size / 1e9:.1f} GB, but {folder.parent} has "
            f"{free / 1e9:.1f} GB free: compute them at every step instead (method.teacher_states=recompute), or move "
            "the cache (KDRUN_CACHE=FOLDER)"
        )


def _fill(
    files: Mapping[str, np.ndarray],
    bundle: ModelBundle,
    tokens: TokenizedSplit,
    spec: TeacherStateSpec,
    accelerator: Accelerator,
) -> None:
    lengths = tokens.lengths.astype(np.int64)
    first = np.concatenate([[0], np.cumsum(lengths)])
    first_map = np.concatenate([[0], np.cumsum(lengths**2)])
    model = bundle.model.eval()
    with torch.inference_mode(), accelerator.autocast():
        batches = longest_first_batches(tokens.lengths, BATCH)
        for rows in track_batches(batches, "computing the teacher's hidden states"):
            inputs = {name: to_device(value, accelerator.device) for name, value in tokens.batch(rows).items()}
            out = spec.forward(model, inputs)
            states = torch.stack([out.hidden_states[i].float() for i in spec.hidden_states], dim=2)
            maps = [out.attentions[i].float() for i in spec.attention_layers]
            maps = [one_map.mean(dim=1, keepdim=True) if spec.average_heads else one_map for one_map in maps]
            maps = torch.stack(maps, dim=1).permute(0, 3, 4, 1, 2).clamp(min=LOWEST)
            states_array, maps_array = states.half().cpu().numpy(), maps.half().cpu().numpy()
            for i, row in enumerate(rows):
                n = int(lengths[row])
                files["states"][first[row] : first[row + 1]] = states_array[i, :n]
                files["maps"][first_map[row] : first_map[row + 1]] = maps_array[i, :n, :n].reshape(
                    n * n, *maps_array.shape[3:]
                )
