"""Equal files are stored once; a later write to one path leaves the others as they were."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from kdrun.storage import checkpoint_files
from kdrun.storage.checkpoint_files import CheckpointData
from kdrun.storage.hard_links import link_equal_files
from kdrun.storage.manifest import verify

WEIGHTS = {"weight": torch.arange(1000.0)}
OTHERS = {"weight": torch.arange(1000.0) + 1}


def run_folder(folder: Path) -> list[Path]:
    """The folder of a run with its student three times, one time with other weights, and a small file."""
    for name in ("best", "last"):
        checkpoint_files.write_checkpoint(
            folder / "checkpoints" / name, CheckpointData({"model": WEIGHTS}, {"step": 1})
        )
    (folder / "student").mkdir()
    save_file(WEIGHTS, folder / "student" / "model.safetensors", metadata={"format": "pt"})
    save_file(OTHERS, folder / "student" / "other.safetensors", metadata={"format": "pt"})
    return [folder / place / "model.safetensors" for place in ("student", "checkpoints/best", "checkpoints/last")]


def inodes(paths: list[Path]) -> set[int]:
    return {path.stat().st_ino for path in paths}


def test_equal_files_become_one(tmp_path: Path) -> None:
    paths = run_folder(tmp_path)
    size = paths[0].stat().st_size
    assert link_equal_files(tmp_path) == 2 * size
    assert len(inodes(paths)) == 1
    assert (tmp_path / "student" / "other.safetensors").stat().st_nlink == 1
    assert link_equal_files(tmp_path) == 0  # nothing is left to do
    assert [verify(tmp_path / "checkpoints" / name) for name in ("best", "last")] == [None, None]
    assert not list(tmp_path.rglob(".*tmp*"))


@pytest.mark.parametrize("writer", ["checkpoint", "save_file"])
def test_a_later_write_to_one_path_does_not_change_the_others(writer: str, tmp_path: Path) -> None:
    student, best, last = run_folder(tmp_path)
    link_equal_files(tmp_path)
    if writer == "checkpoint":
        checkpoint_files.write_checkpoint(last.parent, CheckpointData({"model": OTHERS}, {"step": 2}))
        changed, unchanged = last, (student, best)
    else:
        save_file(OTHERS, student, metadata={"format": "pt"})
        changed, unchanged = student, (best, last)
    assert load_file(changed)["weight"][0] == 1
    assert [load_file(path)["weight"][0] for path in unchanged] == [0, 0]
    assert verify(best.parent) is None
    assert verify(last.parent) is None


def test_saving_a_model_again_does_not_change_its_links(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    from kdrun.models.saving import save_pretrained

    model = BertModel(
        BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    )
    save_pretrained(model, None, tmp_path / "student")
    save_pretrained(model, None, tmp_path / "best")
    link_equal_files(tmp_path)
    first, second = (tmp_path / name / "model.safetensors" for name in ("student", "best"))
    before = second.read_bytes()
    assert first.samefile(second)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight.add_(1)
    save_pretrained(model, None, tmp_path / "student")
    assert first.read_bytes() != before
    assert second.read_bytes() == before


def test_without_hard_links_the_copies_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = run_folder(tmp_path)
    before = [path.read_bytes() for path in paths]

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert link_equal_files(tmp_path) == 0
    assert len(inodes(paths)) == 3
    assert [path.read_bytes() for path in paths] == before
    assert not list(tmp_path.rglob(".*tmp*"))


def test_symbolic_links_are_left_alone(tmp_path: Path) -> None:
    paths = run_folder(tmp_path / "run")
    (tmp_path / "run" / "student" / "link.safetensors").symlink_to(paths[1])
    link_equal_files(tmp_path / "run")
    assert (tmp_path / "run" / "student" / "link.safetensors").is_symlink()
