"""Checkpoints: folders of safetensors and JSON with a checksum of every file, written whole or not at all.

A run's `checkpoints/` has two: `best`, the student as it was when it scored best on dev, and `last`, all that it takes
to go on (`kdrun.keeper`), with the ones before it as `last.1`, `last.2` … In both the student's weights are
`model.safetensors` beside their `config.json`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kdrun import cache
from kdrun.errors import CheckpointError
from kdrun.results import plain

STATE = "state.json"


@dataclass
class Content:
    """What a checkpoint holds.

    Attributes:
        tensors: file name without its ending → name → tensor.
        state: plain data, for `state.json`.
        settings: config of the model in `model.safetensors`, where plain transformers is to read it.
    """

    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]
    settings: Any = field(default=None, repr=False)


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """A module's weights and buffers by name, on its own storage; tied ones once, by their first name."""
    found: dict[str, Tensor] = {}
    seen: set[tuple[int, torch.Size, tuple[int, ...]]] = set()
    for name, tensor in module.state_dict().items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if place not in seen or tensor.numel() == 0:
            seen.add(place)
            found[name] = tensor
    return found


def put_back(module: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Copy what `tensors_of` gave into a module of the same shape.

    Raises:
        CheckpointError: it is of another shape.
    """
    own = tensors_of(module)
    shapes = [{name: tuple(tensor.shape) for name, tensor in each.items()} for each in (own, tensors)]
    if shapes[0] != shapes[1]:
        unlike = sorted(name for name, _ in shapes[0].items() ^ shapes[1].items())
        raise CheckpointError(f"the checkpoint's {what} is of another model: they differ in {', '.join(unlike[:3])}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def split(values: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors, for safetensors, and the rest, for JSON."""
    tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
    return tensors, {name: value for name, value in values.items() if name not in tensors}


def optimizer_state(optimizer: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What an optimizer has gathered, under names such as `12.exp_avg`: tensors, and the rest."""
    state = optimizer.state_dict()["state"]
    return split({f"{i}.{name}": value for i, values in state.items() for name, value in values.items()})


def put_back_optimizer(optimizer: Any, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Give `optimizer_state` back to an optimizer of the same parameters; its rates and other settings stay."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **plain}.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def write(folder: Path, content: Content, keep: int = 1) -> None:
    """Write a checkpoint into a temporary folder, see it to the disk, and rename it into place.

    Args:
        folder: e.g. `checkpoints/last`.
        content: what it holds.
        keep: how many there are to be then: those before it move to `last.1`, `last.2` …

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
        (work / STATE).write_text(json.dumps(plain(content.state), indent=1), encoding="utf-8")
        if content.settings is not None:
            content.settings.save_pretrained(work)
        cache.seal(work, {"kind": "checkpoint"})
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


def read(folder: Path) -> Content:
    """Read a checkpoint, tensors on the CPU, if every file is what was written.

    Raises:
        CheckpointError: it is not whole.
    """
    wrong = cache.damage(folder)
    if wrong is not None:
        raise CheckpointError(f"{folder} is damaged: {wrong}")
    tensors = {path.stem: load_file(path) for path in folder.glob("*.safetensors")}
    return Content(tensors, json.loads((folder / STATE).read_text(encoding="utf-8")))


def all_of(folder: Path) -> list[Path]:
    """A checkpoint and those before it that are there, newest first."""
    older = {int(p.suffix[1:]): p for p in folder.parent.glob(f"{folder.name}.*") if p.suffix[1:].isdigit()}
    # a process that died while it made room may have left the only one under this name
    found = [folder, *(older[age] for age in sorted(older)), folder.with_name(f".{folder.name}.old")]
    return [path for path in found if path.is_dir()]


def drop(folder: Path, *, newest: bool) -> None:
    """Remove what came before a checkpoint, and what a process that died left behind; the newest too, if asked."""
    found = [path for path in all_of(folder) if newest or path != folder]
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
