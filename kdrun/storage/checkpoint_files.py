"""Write, verify, rotate and read checkpoint folders (safetensors and JSON).

A run's `checkpoints/` has `best`, the student with the best dev score, and `last`, the complete state of the training
(`kdrun.storage.checkpoint_manager`). Earlier ones are `last.1`, `last.2` … The student's weights are in
`model.safetensors`, next to their `config.json`.
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

from kdrun.errors import CheckpointError
from kdrun.storage import manifest
from kdrun.storage.serialization import to_plain

STATE = "state.json"


@dataclass
class CheckpointData:
    """Content of a checkpoint.

    Attributes:
        tensors: file name without its ending → name → tensor.
        state: plain data, for `state.json`.
        settings: config of the model in `model.safetensors`, for plain transformers.
    """

    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]
    settings: Any = field(default=None, repr=False)


def write_checkpoint(folder: Path, content: CheckpointData, keep: int = 1) -> None:
    """Write a checkpoint to a temporary folder, sync it and rename it into place.

    Args:
        folder: e.g. `checkpoints/last`.
        content: tensors and state.
        keep: number of checkpoints to keep; earlier ones move to `last.1`, `last.2` …

    Raises:
        CheckpointError: it cannot be written, as on a full disk; those before it stay as they are.
    """
    work, old = folder.with_name(f".{folder.name}.tmp"), folder.with_name(f".{folder.name}.old")
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        for name, tensors in content.tensors.items():
            own = {key: tensor.detach().contiguous() for key, tensor in tensors.items()}
            save_file(own, work / f"{name}.safetensors", metadata={"format": "pt"})
        (work / STATE).write_text(json.dumps(to_plain(content.state), indent=1), encoding="utf-8")
        if content.settings is not None:
            content.settings.save_pretrained(work)
        manifest.seal(work, {"kind": "checkpoint"})
        _sync(work)
        _make_room([folder, *(_before(folder, age) for age in range(1, keep)), old])
        work.rename(folder)
        _sync_one(folder.parent)
    except (OSError, SafetensorError) as error:
        free = shutil.disk_usage(_existing(folder)).free
        raise CheckpointError(
            f"the checkpoint {folder} could not be written: {error} ({free / 2**20:.0f} MiB are free there)"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def read_checkpoint(folder: Path) -> CheckpointData:
    """Read a checkpoint, tensors on the CPU, if every file is what was written.

    Raises:
        CheckpointError: a file is damaged or missing.
    """
    wrong = manifest.verify(folder)
    if wrong is not None:
        raise CheckpointError(f"{folder} is damaged: {wrong}")
    tensors = {path.stem: load_file(path) for path in folder.glob("*.safetensors")}
    return CheckpointData(tensors, json.loads((folder / STATE).read_text(encoding="utf-8")))


def list_checkpoints(folder: Path) -> list[Path]:
    """A checkpoint and those before it that are there, newest first."""
    older = {int(p.suffix[1:]): p for p in folder.parent.glob(f"{folder.name}.*") if p.suffix[1:].isdigit()}
    # a process that died while it made room may have left the only one under this name
    found = [folder, *(older[age] for age in sorted(older)), folder.with_name(f".{folder.name}.old")]
    return [path for path in found if path.is_dir()]


def delete_checkpoints(folder: Path, *, newest: bool) -> None:
    """Remove what came before a checkpoint, and what a process that died left behind; the newest too, if asked."""
    found = [path for path in list_checkpoints(folder) if newest or path != folder]
    for path in [*found, folder.with_name(f".{folder.name}.tmp")]:
        shutil.rmtree(path, ignore_errors=True)


def _make_room(names: list[Path]) -> None:
    """Move each to the next name, from the first that is free on; what has the last name goes, if it is needed."""
    taken = next((i for i, path in enumerate(names) if not path.exists()), len(names))
    if taken == len(names):
        shutil.rmtree(names[-1])
        taken -= 1
    for i in reversed(range(taken)):
        names[i].rename(names[i + 1])


def _before(folder: Path, age: int) -> Path:
    return folder.with_name(f"{folder.name}.{age}")


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _sync(folder: Path) -> None:
    for path in folder.iterdir():
        _sync_one(path)
    _sync_one(folder)


def _sync_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
