"""Check that the optional packages of an export are installed."""

from __future__ import annotations

import importlib.util

from kdrun.errors import ConfigError

ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def check_onnx_installed() -> None:
    """Check that the packages of the extra `onnx` are installed.

    Raises:
        ConfigError: one is missing.
    """
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError([f"ONNX files need {', '.join(missing)}: pip install 'kdrun[onnx]'"])
