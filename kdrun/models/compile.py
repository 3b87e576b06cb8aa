"""torch.compile for transformer layers."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterable

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from kdrun.errors import ConfigError

COMPILERS = ("g++", "clang++", "c++")


def check_compiler(device: torch.device) -> None:
    """Look for what torch.compile writes code for, before anything is loaded.

    Raises:
        ConfigError: it is not installed.
    """
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            raise ConfigError(["runtime.compile=true needs the package triton on a GPU; install it, or leave it out"])
    elif not any(shutil.which(name) for name in (os.environ.get("CXX", ""), *COMPILERS) if name):
        raise ConfigError(
            [f"runtime.compile=true needs a C++ compiler, and none of {', '.join(COMPILERS)} is here; leave it out"]
        )


def compile_layers(models: Iterable[nn.Module]) -> None:
    """Compile every layer of these transformers, in place: weights, names and what else is asked of a model stay.

    Layer by layer, since equal layers are compiled once, and since what comes before them (ids or soft tokens) changes
    from call to call. Lengths vary from batch to batch, so shapes are symbols. Dropout draws what it draws without
    compiling, so that results differ by rounding alone.
    """
    import torch._inductor.config

    torch._inductor.config.fallback_random = True
    for layer in {part for model in models for part in model.modules() if isinstance(part, GradientCheckpointingLayer)}:
        if getattr(layer, "_compiled_call_impl", None) is None:
            layer.compile(dynamic=True)
