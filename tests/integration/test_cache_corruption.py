"""Damaged cache entries of every namespace: detected, rebuilt, without effect on runs."""

import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console as RichConsole

from benchmarks.stress import file_corruption
from kdrun.config import compose
from kdrun.console import Console
from kdrun.runs import runner
from kdrun.runs.provenance import code_digest
from kdrun.storage import manifest

KINDS = {
    "answers", "corpus_tokens", "logits", "ood", "pretrained", "source_results", "states", "teacher_states", "teachers",
    "tokens", "top_logits", "vocabulary",
}  # fmt: skip


def run(name: str, folder: Path) -> str:
    """What a run answers."""
    words = [*file_corruption.RUNS[name], *file_corruption.SMALL, f"output_dir={folder}", f"run_dir={folder}"]
    runner.run(compose.load_config(words), Console(RichConsole(file=io.StringIO())), words)
    return (folder / "predictions.jsonl").read_text()


OF_KD = {"corpus_tokens", "logits", "pretrained", "source_results", "teachers", "tokens", "vocabulary"}


@pytest.mark.parametrize(
    ("way", "names", "kinds"),
    [
        (file_corruption.flip_bit, ["kd"], OF_KD),
        pytest.param(file_corruption.flip_bit, list(file_corruption.RUNS), KINDS, marks=pytest.mark.slow),
        pytest.param(file_corruption.truncate, list(file_corruption.RUNS), KINDS, marks=pytest.mark.slow),
    ],
)
def test_a_damaged_entry_of_any_namespace_is_rebuilt_unchanged(
    way: Callable[[Path, random.Random], str],
    names: list[str],
    kinds: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "other"))
    code_digest()  # a process keeps its value, so an entry of this cache would not be read again
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "cache"))
    root, draw = tmp_path / "cache", random.Random(1)
    before = {name: run(name, tmp_path / name) for name in names}
    digests = {folder: file_corruption.content_digests(folder) for folder in file_corruption.entry_folders(root)}
    assert {folder.parent.name for folder in digests} == kinds
    harmed = {folder: way(folder, draw) for folder in digests}
    assert all(manifest.verify(folder) for folder in digests), harmed
    after = {name: run(name, tmp_path / f"{name}-again") for name in names}
    assert after == before
    assert {
        folder: file_corruption.content_digests(folder) for folder in file_corruption.entry_folders(root)
    } == digests
    for folder in digests:
        assert f"cache entry {folder} is damaged" in caplog.text, harmed[folder]
