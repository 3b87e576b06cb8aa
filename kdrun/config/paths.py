"""Locate the configuration tree of a wheel or a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
CONF_DIR = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"
"""The config tree: inside the package when it was installed from a wheel, at the repository's top otherwise."""
CONFIG_FOLDERS = "KDRUN_CONF"
"""Environment variable with the user's own config folders, separated as in PATH."""
