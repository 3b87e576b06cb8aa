"""Where the configuration tree lies: in the wheel or at the top of a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
CONF_DIR = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"
"""The config tree: inside the package when it was installed from a wheel, at the repository's top otherwise."""
