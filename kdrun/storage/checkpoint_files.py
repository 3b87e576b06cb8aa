"""Write, verify, rotate and read checkpoint folders (safetensors and JSON).

A run's folder `checkpoints/` holds `best`, the student with the best dev score, and `last`, the complete state of the
training (`kdrun.storage.checkpoint_manager`). Older checkpoints are `last.1`, `last.2` … In each, `model.safetensors`
holds the student's weights and `config.json` its config.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from kdrun.errors import CheckpointError, DataError
from kdrun.storage import manifest
from kdrun.storage.json_reader import Shape, read_object
from kdrun.storage.serialization import to_plain

STATE = "state.json"


@dataclass
class CheckpointData:
    """Content of a checkpoint.

    Attributes:
        tensors: file name without its suffix → name → tensor.
        state: plain data, saved as `state.json`.
        settings: transformers config of the model in `model.safetensors`.
    """

    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]
    settings: Any = field(default=None, repr=False)


def write_checkpoint(folder: Path, content: CheckpointData, keep: int = 1) -> None:
    """Write a checkpoint to a temporary folder, sync it and rename it into place.

    Args:
        folder: e.g. `checkpoints/last`.
        content: tensors and state.
        keep: number of checkpoints to keep; older ones move to `last.1`, `last.2` …

    Raises:
        CheckpointError: it cannot be written, e.g. on a full disk; older checkpoints are unchanged.
    """
    work, old = folder.with_name(f".{folder.name}.tmp"), folder.with_name(f".{folder.name}.old")
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        for name, tensors in content.tensors.items():
            contiguous = {key: tensor.detach().contiguous() for key, tensor in tensors.items()}
            save_file(contiguous, work / f"{name}.safetensors", metadata={"format": "pt"})
        (work / STATE).write_text(json.dumps(to_plain(content.state), indent=1), encoding="utf-8")
        if content.settings is not None:
            content.settings.save_pretrained(work)
        manifest.seal(work, {"kind": "checkpoint"})
        _sync_folder(work)
        _rotate([folder, *(folder.with_name(f"{folder.name}.{age}") for age in range(1, keep)), old])
        work.rename(folder)
        _sync(folder.parent)
    except (OSError, SafetensorError) as error:
        free = shutil.disk_usage(_existing_parent(folder)).free
        raise CheckpointError(
            f"the checkpoint {folder} could not be written: {error} ({free / 2**20:.0f} MiB free)"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def read_checkpoint(folder: Path, shape: dict[str, Shape] | None = None) -> CheckpointData:
    """Verify a checkpoint's files and read them, with tensors on the CPU.

    Args:
        folder: e.g. `checkpoints/last`.
        shape: shape of its state.

    Raises:
        CheckpointError: a file is damaged or missing.
    """
    problem = manifest.verify(folder)
    if problem is not None:
        raise CheckpointError(f"{folder} is damaged: {problem}")
    try:
        state = read_object((folder / STATE).read_bytes(), shape or {}, f"{folder / STATE} was not written by a run")
        tensors = {path.stem: load_file(path) for path in folder.glob("*.safetensors")}
    except (DataError, OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder} is damaged: {error}") from None
    return CheckpointData(tensors, state)


def list_checkpoints(folder: Path) -> list[Path]:
    """The folders of a checkpoint and of the older checkpoints next to it, newest first."""
    older = {int(p.suffix[1:]): p for p in folder.parent.glob(f"{folder.name}.*") if p.suffix[1:].isdigit()}
    # after a crash during rotation, the only checkpoint may have this name
    candidates = [folder, *(older[age] for age in sorted(older)), folder.with_name(f".{folder.name}.old")]
    return [path for path in candidates if path.is_dir()]


def delete_checkpoints(folder: Path, *, newest: bool) -> None:
    """Delete older checkpoints and the leftovers of crashed processes; with `newest`, the newest checkpoint too."""
    obsolete = [path for path in list_checkpoints(folder) if newest or path != folder]
    for path in [*obsolete, folder.with_name(f".{folder.name}.tmp")]:
        shutil.rmtree(path, ignore_errors=True)


def _rotate(names: list[Path]) -> None:
    """Free the first name: rename each folder to the next name, up to the first free name.

    If no name is free, the folder with the last name is deleted.
    """
    free = next((i for i, path in enumerate(names) if not path.exists()), len(names))
    if free == len(names):
        shutil.rmtree(names[-1])
        free -= 1
    for i in reversed(range(free)):
        names[i].rename(names[i + 1])


def _existing_parent(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _sync_folder(folder: Path) -> None:
    for path in folder.iterdir():
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
