"""Harm done to entries of every kind is found, mended, and changes no run."""

import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from kdrun import cache, compose, train
from kdrun.screen import Screen
from tests import harming

KINDS = {"answers", "logits", "ood", "pretrained", "states", "teacher_states", "teachers", "tokens", "vocabulary"}


def run(name: str, folder: Path) -> str:
    """What a run answers."""
    words = [*harming.RUNS[name], *harming.SMALL, f"output_dir={folder}", f"run_dir={folder}"]
    train.run(compose.load(words), Screen(Console(file=io.StringIO())), words)
    return (folder / "predictions.jsonl").read_text()


OF_KD = {"logits", "pretrained", "teachers", "tokens", "vocabulary"}


@pytest.mark.parametrize(
    ("way", "names", "kinds"),
    [
        (harming.flip, ["kd"], OF_KD),
        pytest.param(harming.flip, list(harming.RUNS), KINDS, marks=pytest.mark.slow),
        pytest.param(harming.cut, list(harming.RUNS), KINDS, marks=pytest.mark.slow),
    ],
)
def test_every_kind_of_entry_is_found_damaged_and_made_again_as_it_was(
    way: Callable[[Path, random.Random], str],
    names: list[str],
    kinds: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "cache"))
    root, draw = tmp_path / "cache", random.Random(1)
    before = {name: run(name, tmp_path / name) for name in names}
    made = {folder: harming.content(folder) for folder in harming.entries(root)}
    assert {folder.parent.name for folder in made} == kinds
    harmed = {folder: way(folder, draw) for folder in made}
    assert all(cache.damage(folder) for folder in made), harmed
    after = {name: run(name, tmp_path / f"{name}-again") for name in names}
    assert after == before
    assert {folder: harming.content(folder) for folder in harming.entries(root)} == made
    for folder in made:
        assert f"cache entry {folder} is damaged" in caplog.text, harmed[folder]
