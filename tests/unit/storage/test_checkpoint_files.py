"""Checkpoint files: complete or absent, with damage detected."""

import contextlib
import errno
import json
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from kdrun.errors import CheckpointError
from kdrun.storage import checkpoint_files, state_tensors
from kdrun.storage.checkpoint_files import CheckpointData


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Embedding(3, 2)
        self.last = nn.Linear(2, 3, bias=False)
        self.last.weight = self.first.weight
        self.register_buffer("count", torch.tensor(4))


class Died(BaseException):
    """A simulated SIGKILL."""


def content(step: int) -> CheckpointData:
    return CheckpointData({"model": {"w": torch.full((2,), float(step))}, "rest": {}}, {"phase": "fit", "step": step})


def steps(place: Path) -> list[int]:
    return [
        checkpoint_files.read_checkpoint(folder).state["step"] for folder in checkpoint_files.list_checkpoints(place)
    ]


def test_checkpoints_are_read_back_and_their_number_is_limited(tmp_path: Path) -> None:
    place = tmp_path / "checkpoints" / "last"
    for step in range(1, 5):
        checkpoint_files.write_checkpoint(place, content(step), keep=3)
    assert steps(place) == [4, 3, 2]
    assert sorted(p.name for p in place.parent.iterdir()) == ["last", "last.1", "last.2"]
    assert torch.equal(checkpoint_files.read_checkpoint(place).tensors["model"]["w"], torch.full((2,), 4.0))
    checkpoint_files.delete_checkpoints(place, newest=False)
    assert steps(place) == [4]
    checkpoint_files.delete_checkpoints(place, newest=True)
    assert list(place.parent.iterdir()) == []


def test_tied_weights_are_stored_once_and_restored() -> None:
    module, other = Tied(), Tied()
    weights = {name: value.clone() for name, value in state_tensors.module_tensors(module).items()}
    assert sorted(weights) == ["count", "first.weight"]
    state_tensors.load_module_tensors(other, weights, "student")
    assert torch.equal(other.last.weight, module.first.weight)
    with pytest.raises(CheckpointError, match=r"student is from another model: they differ in bias, count, first"):
        state_tensors.load_module_tensors(nn.Linear(2, 2), weights, "student")


@pytest.mark.parametrize("name", ["model.safetensors", "state.json", "entry.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_a_damaged_file_is_noticed(name: str, harm: str, tmp_path: Path) -> None:
    place = tmp_path / "last"
    checkpoint_files.write_checkpoint(place, content(1))
    raw = (place / name).read_bytes()
    # of the manifest, a letter of a checksum
    at = raw.index(b"sha256") + 12 if name == "entry.json" else len(raw) - 3
    if harm == "remove":
        (place / name).unlink()
    else:
        (place / name).write_bytes(raw[: len(raw) // 2] if harm == "cut" else raw[:at] + b"?" + raw[at + 1 :])
    with pytest.raises(CheckpointError, match=rf"last is damaged: ({name}|.*checksum|its manifest)"):
        checkpoint_files.read_checkpoint(place)


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def full_in_rust(*_: object, **__: object) -> None:
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("where", "fails"),
    [
        ("kdrun.storage.checkpoint_files.save_file", full_in_rust),
        ("kdrun.storage.manifest.seal", full),
        ("os.fsync", full),
        ("pathlib.Path.write_text", full),
        ("pathlib.Path.mkdir", full),
        ("pathlib.Path.rename", full),
    ],
)
def test_a_full_disk_costs_no_checkpoint(
    where: str, fails: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "last"
    for step in (1, 2):
        checkpoint_files.write_checkpoint(place, content(step), keep=2)
    with monkeypatch.context() as patch:
        patch.setattr(where, fails)
        with pytest.raises(CheckpointError, match=r"last could not be written: .*No space left .*MiB free"):
            checkpoint_files.write_checkpoint(place, content(3), keep=2)
    assert steps(place) == [2, 1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last", "last.1"]
    checkpoint_files.write_checkpoint(place, content(4), keep=2)
    assert steps(place) == [4, 2]


@pytest.mark.parametrize("keep", [1, 2])
@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_kill_between_any_two_renames_leaves_a_valid_checkpoint(
    renames: int, keep: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, real, remaining = tmp_path / "last", Path.rename, [renames]
    for step in range(1, keep + 1):
        checkpoint_files.write_checkpoint(place, content(step), keep)

    def dies(self: Path, target: Path) -> Path:
        if not remaining[0]:
            raise Died
        remaining[0] -= 1
        return real(self, target)

    with monkeypatch.context() as patch, contextlib.suppress(Died):
        patch.setattr(Path, "rename", dies)
        patch.setattr("shutil.rmtree", lambda *_, **__: None)  # the dead tidy nothing up
        checkpoint_files.write_checkpoint(place, content(keep + 1), keep)
    assert steps(place)[0] in (keep, keep + 1)
    checkpoint_files.write_checkpoint(place, content(keep + 2), keep)
    assert steps(place)[0] == keep + 2
    assert len(steps(place)) <= keep


def test_people_read_the_students_weights_with_their_config(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

    config = BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    config.num_labels = 3
    model = BertForSequenceClassification(config)
    checkpoint_files.write_checkpoint(
        tmp_path / "best", CheckpointData({"model": state_tensors.module_tensors(model)}, {"step": 1}, model.config)
    )
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "best")
    assert loaded.config.num_labels == 3
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    assert json.loads((tmp_path / "best" / "state.json").read_text()) == {"step": 1}
