"""Spread a frozen model over GPUs, memory and disk, with Accelerate's hooks."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import accelerate
import numpy as np
import psutil
import torch
from accelerate.utils import get_balanced_memory
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from kdrun import cgroup
from kdrun.errors import ModelError, PathError
from kdrun.formatting import join_words, num_bytes
from kdrun.models import families
from kdrun.models.bundle import ModelBundle
from kdrun.models.prompted import PromptedClassifier
from kdrun.storage import cache

Location = int | str
"""Number of a GPU, `cpu` or `disk`."""

SHARE = 0.9
"""Share of the free memory that weights may take, unless `teacher.max_memory` names a size."""
TRAINING_COPIES = 3
"""Gradient and two moments, in multiples of the weights of a trained model that is on its device already."""
PAGE = 4096
TOLERANCE = 1e-3
"""Largest difference of a logit from the undivided model's, relative to the largest one."""


def spread(
    bundle: ModelBundle, device: torch.device, limits: Mapping[Location, int] | None, trained_bytes: int = 0
) -> None:
    """Spread a frozen model, in place; it computes on the GPUs, or without one on the CPU.

    Layers stay whole. GPUs are filled first, then memory, then the disk. A layer in memory or on disk is copied to the
    device for its pass. Files on disk have no name and vanish with the process. The weights were read before, so this
    machine's memory must hold all of them once.

    Args:
        bundle: the model, on the CPU; gets a note.
        device: of the run, on which inputs arrive and outputs are returned.
        limits: bytes of weights by location; the disk takes the rest. None measures free memory.
        trained_bytes: weights of the models that train on the device, for which the default limits leave room.

    Raises:
        ModelError: the model uses weights outside of the layers that own them, so that it cannot be spread.
        PathError: the disk has too little free space.
    """
    model = bundle.model.language_model if isinstance(bundle.model, PromptedClassifier) else bundle.model
    if families.is_text_to_text(model.config):
        raise ModelError(f"teacher.placement=auto cannot spread {bundle.name}: {T5_REASON}")
    expected = _probe(bundle.model)
    model.requires_grad_(False).eval()
    locations = plan(model, device, limits, trained_bytes)
    sizes = _sizes(model, locations)
    if set(sizes) == {"cpu"} and device.type == "cpu":
        bundle.notes.append("teacher.placement=auto: all weights fit into memory, so that nothing is spread")
        return
    for name, buffer in bundle.model.named_buffers(recurse=False):
        setattr(bundle.model, name, buffer.to(device))
    _dispatch(model, device, locations)
    _compare(bundle, expected, device)
    bundle.notes.append(f"spread over {describe(sizes)}")


T5_REASON = "a text-to-text model computes with the weights of its output layer outside of the layer"


def is_spread(model: nn.Module) -> bool:
    """Whether a model's weights are on several devices, or some of them on disk."""
    return any(hasattr(module, "hf_device_map") for module in model.modules())


def plan(
    model: PreTrainedModel, device: torch.device, limits: Mapping[Location, int] | None, trained_bytes: int = 0
) -> dict[str, Location]:
    """The location of each module, by name; the model may be on the `meta` device.

    Args:
        model: its layers stay whole.
        device: of the run.
        limits: as for `spread`.
        trained_bytes: as for `spread`.
    """
    layers = sorted(_layer_classes(model))
    known = dict(_free_memory(model, device, trained_bytes, layers)) if limits is None else dict(limits)
    if "cpu" not in known:
        known["cpu"] = _free_host_memory(model)
    locations: Any = accelerate.infer_auto_device_map(
        model,
        known,  # pyright: ignore[reportArgumentType]
        no_split_module_classes=layers,
        dtype=torch.float32,
    )
    return dict(locations)


def describe(sizes: Mapping[Location, int]) -> str:
    """Bytes by location, for readers of a run."""
    names = {"cpu": "memory", "disk": "disk"}
    parts = [f"{names.get(str(place), f'GPU {place}')} ({num_bytes(size)})" for place, size in sizes.items()]
    return join_words(parts)


def _layer_classes(model: PreTrainedModel) -> set[str]:
    layers = {type(module).__name__ for module in model.modules() if isinstance(module, GradientCheckpointingLayer)}
    return layers | set(model._no_split_modules or ())


def _free_memory(
    model: PreTrainedModel, device: torch.device, trained_bytes: int, layers: list[str]
) -> dict[Location, int]:
    """Bytes for weights: of the GPUs, the run's own last, because its other models train there."""
    if device.type != "cuda":
        return {"cpu": _free_host_memory(model)}
    free: dict[Location, int] = {
        number: int(SHARE * torch.cuda.mem_get_info(number)[0]) for number in range(torch.cuda.device_count())
    }
    own = torch.cuda.current_device() if device.index is None else device.index
    free[own] = max(0, free[own] - TRAINING_COPIES * trained_bytes)
    arguments: Any = (model, free, layers, torch.float32)
    balanced: Any = get_balanced_memory(*arguments, low_zero=len(free) > 1)
    return {**balanced, "cpu": _free_host_memory(model)}


def _free_host_memory(model: PreTrainedModel) -> int:
    """Bytes for weights in memory, which holds the model already."""
    limits = (psutil.virtual_memory().available, cgroup.free_memory())
    free = min(limit for limit in limits if limit is not None)
    return int(SHARE * (free + sum(_bytes(p) for p in model.parameters() if not p.is_meta)))


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _sizes(model: nn.Module, locations: Mapping[str, Location]) -> dict[Location, int]:
    sizes: dict[Location, int] = {}
    for name, parameter in model.named_parameters():
        place = _location(name, locations)
        sizes[place] = sizes.get(place, 0) + _bytes(parameter)
    order = sorted(sizes, key=lambda place: (place == "disk", place == "cpu", str(place)))
    return {place: sizes[place] for place in order}


def _location(name: str, locations: Mapping[str, Location]) -> Location:
    """The location of a parameter: that of the longest named module that it belongs to."""
    while name not in locations:
        name = name.rpartition(".")[0]
    return locations[name]


def _dispatch(model: PreTrainedModel, device: torch.device, locations: dict[str, Location]) -> None:
    parameters = {
        name: (parameter, _location(name, locations))
        for name, parameter in model.named_parameters(remove_duplicate=False)
    }
    weights = _mapped({name: parameter for name, (parameter, place) in parameters.items() if place == "disk"})
    if device.type != "cpu":
        weights |= {name: parameter.data for name, (parameter, place) in parameters.items() if place == "cpu"}
    del parameters  # the hooks free the weights
    with _quiet_accelerate():
        accelerate.dispatch_model(
            model,
            locations,  # pyright: ignore[reportArgumentType]
            main_device="cpu" if device.type == "cpu" else device,  # pyright: ignore[reportArgumentType]
            state_dict=weights,
            offload_index={},  # without it, Accelerate would write separate files
            skip_keys=getattr(model, "_skip_keys_device_placement", None),
            preload_module_classes=sorted(_layer_classes(model)),
            force_hooks=True,
        )


def _mapped(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies in memory maps of one file without a name, each at the beginning of a page; tied weights once."""
    offsets: dict[int, int] = {}
    size = 0
    for weight in weights.values():
        if weight.data_ptr() not in offsets:
            offsets[weight.data_ptr()], size = size, size + -(-_bytes(weight) // PAGE) * PAGE
    if not size:
        return {}
    folder = cache.cache_root()
    cache.make_writable(folder)
    free = psutil.disk_usage(str(folder)).free
    if size > SHARE * free:
        raise PathError(
            f"teacher.placement=auto needs {num_bytes(size)} of {folder} for weights that fit on no GPU and not into "
            f"memory, and {num_bytes(free)} are free: allow more memory (teacher.max_memory), or move the cache "
            "(KDRUN_CACHE=FOLDER)"
        )
    maps: dict[int, Tensor] = {}
    with tempfile.TemporaryFile(dir=folder) as file:
        for weight in weights.values():
            file.seek(offsets[weight.data_ptr()])
            weight.detach().numpy().tofile(file)
        file.truncate(size)
        file.flush()
        for weight in weights.values():
            pointer = weight.data_ptr()
            if pointer not in maps:
                # copy-on-write, as torch takes no read-only array
                shape, dtype = tuple(weight.shape), weight.detach().numpy().dtype
                array = np.memmap(file, dtype=dtype, mode="c", offset=offsets[pointer], shape=shape)
                maps[pointer] = torch.from_numpy(array)
    return {name: maps[weight.data_ptr()] for name, weight in weights.items()}


def _probe(model: PreTrainedModel, device: torch.device | str = "cpu") -> Tensor:
    """Logits of two short rows of arbitrary tokens, one of them padded."""
    config: Any = model.config
    ids = torch.arange(1, 17, device=device).reshape(2, 8) % int(config.get_text_config().vocab_size)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    was_training = model.training
    with torch.inference_mode():
        logits = model.eval()(input_ids=ids, attention_mask=mask).logits.float()
    model.train(was_training)
    return logits


def _compare(bundle: ModelBundle, expected: Tensor, device: torch.device) -> None:
    """Refuse a model that fails or gives other logits once it is spread."""
    reason = "its outputs change"
    try:
        logits = _probe(bundle.model, device).cpu()
        if bool((logits - expected).abs().max() <= TOLERANCE * expected.abs().max()):
            return
    except (RuntimeError, KeyError) as error:
        reason = f"its code uses weights outside of the layers that own them ({str(error).splitlines()[0]})"
    raise ModelError(
        f"teacher.placement=auto cannot spread {bundle.name} ({bundle.model.config.model_type}): {reason}; take a "
        "model of another family, or one that fits on the device (teacher.placement=one)"
    )


@contextmanager
def _quiet_accelerate() -> Iterator[None]:
    """Suppress the warning that some weights are not in memory, which is the purpose."""
    log = logging.getLogger("accelerate.big_modeling")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
