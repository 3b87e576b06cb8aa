"""Checkpoints: whole or not at all."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from kdrun import checkpoint


def test_written_and_replaced(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    checkpoint.save(model, tmp_path / "checkpoints" / "best", {"step": 1})
    with torch.no_grad():
        model.weight.zero_()
    checkpoint.save(model, tmp_path / "checkpoints" / "best", {"step": 2})
    folder = tmp_path / "checkpoints" / "best"
    assert json.loads((folder / "state.json").read_text()) == {"step": 2}
    assert torch.equal(load_file(folder / "model.safetensors")["weight"], torch.zeros(2, 2))
    assert [p.name for p in folder.parent.iterdir()] == ["best"]


def test_a_failed_save_keeps_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "last"
    checkpoint.save(nn.Linear(2, 2), folder, {"step": 1})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_model", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(nn.Linear(2, 2), folder, {"step": 2})
    assert json.loads((folder / "state.json").read_text()) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last"]
