"""Facts in the config.json of a saved model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kdrun.storage import json_reader


def read_saved_config(path: str) -> dict[str, Any] | None:
    """The config.json of a model folder; None where it cannot be read, which is reported where the model is loaded."""
    try:
        content = json_reader.parse((Path(path).expanduser() / "config.json").read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
