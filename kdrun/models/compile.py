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
"""C++ compilers that torch.compile looks for on the CPU."""


def check_compiler(device: torch.device) -> None:
    """Check that the compiler behind torch.compile is installed, before anything is loaded.

    Args:
        device: triton is needed on a GPU, a C++ compiler on the CPU.

    Raises:
        ConfigError: the compiler is not installed.
    """
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            raise ConfigError(["runtime.compile=true needs the package triton on a GPU; install it, or leave it out"])
    elif not any(shutil.which(name) for name in (os.environ.get("CXX", ""), *COMPILERS) if name):
        raise ConfigError(
            [f"runtime.compile=true needs a C++ compiler, and none of {', '.join(COMPILERS)} was found; leave it out"]
        )


def compile_layers(models: Iterable[nn.Module]) -> None:
    """Compile every layer of these transformers in place; weights and their names stay.

    Models are compiled layer by layer: equal layers are compiled once, and the inputs before them (ids or soft tokens)
    change from call to call. Lengths vary from batch to batch, so shapes are symbolic. Dropout draws the same numbers
    as without compiling, so results differ only by rounding.
    """
    import torch._inductor.config

    torch._inductor.config.fallback_random = True
    modules = {module for model in models for module in model.modules()}
    for layer in modules:
        if isinstance(layer, GradientCheckpointingLayer) and getattr(layer, "_compiled_call_impl", None) is None:
            layer.compile(dynamic=True)
