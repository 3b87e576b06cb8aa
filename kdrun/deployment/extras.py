"""Check that the optional packages of an export are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from kdrun.errors import ConfigError

ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
ONNX_RUNTIME = ("onnxruntime",)
"""Packages that a file needs once it is written."""


def check_onnx_installed(packages: Sequence[str] = ONNX_PACKAGES) -> None:
    """Check that packages of the extra `onnx` are installed.

    Raises:
        ConfigError: one is missing.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError([f"ONNX files need {', '.join(missing)}: pip install 'kdrun[onnx]'"])
