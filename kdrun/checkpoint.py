"""Checkpoints of a run: a model's weights as safetensors beside a JSON state, written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_model
from torch import nn

from kdrun.results import plain


def save(model: nn.Module, folder: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint into a temporary folder and rename it into place; an older one goes only then.

    Args:
        model: its weights are written to `model.safetensors`.
        folder: e.g. `checkpoints/best`.
        state: step, phase and scores, for `state.json`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = folder.with_name(f".{folder.name}.tmp-{os.getpid()}")
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        save_model(model, str(work / "model.safetensors"))
        (work / "state.json").write_text(json.dumps(plain(state), indent=1))
        if folder.exists():
            folder.rename(old)
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
