"""Manifests: every change of a sealed folder is found."""

import json
from pathlib import Path

import pytest

from kdrun.storage.manifest import MANIFEST, seal, verify


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A sealed folder with a file in a subfolder."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text("alpha")
    (tmp_path / "sub" / "b.bin").write_bytes(b"\0\1\2")
    seal(tmp_path, {"kind": "test"})
    return tmp_path


def test_an_unchanged_folder_is_valid_and_keeps_its_facts(sealed: Path) -> None:
    assert verify(sealed) is None
    manifest = json.loads((sealed / MANIFEST).read_text())
    assert manifest["kind"] == "test"
    assert sorted(manifest["files"]) == ["a.txt", "sub/b.bin"]


def test_sealing_again_gives_the_same_manifest(sealed: Path) -> None:
    before = (sealed / MANIFEST).read_bytes()
    seal(sealed, {"kind": "test"})
    assert (sealed / MANIFEST).read_bytes() == before


@pytest.mark.parametrize(
    ("content", "expected"), [(None, "missing"), (b"\0\1", "2 bytes, expected 3"), (b"\0\1\3", "checksum")]
)
def test_a_changed_file_is_named(sealed: Path, content: bytes | None, expected: str) -> None:
    path = sealed / "sub" / "b.bin"
    path.unlink() if content is None else path.write_bytes(content)
    problem = verify(sealed)
    assert problem is not None
    assert "sub/b.bin" in problem
    assert expected in problem


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"files": {"a.txt": 1}}', '{"files": []}'])
def test_a_broken_manifest_is_a_problem(sealed: Path, text: str) -> None:
    (sealed / MANIFEST).write_text(text)
    assert "manifest" in (verify(sealed) or "")
