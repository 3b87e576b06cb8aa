"""The files of a recorded teacher and the hash of their content."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from kdrun.config.data import GeneratedDataConfig
from kdrun.config.schema import RunConfig
from kdrun.config.teacher import RecordedTeacherConfig
from kdrun.storage.hashing import digest, file_digest

GENERATED_FILE = Path("generated/train.jsonl")


def paths_of(config: RunConfig) -> list[Path]:
    """The files of `teacher=recorded`; by default the generated text that the student learns from.

    Args:
        config: validated, with `teacher=recorded`.
    """
    section: RecordedTeacherConfig = config.teacher
    if section.path is None:
        path = generated_path(config)
        return [] if path is None else [_generated_file(Path(path).expanduser())]
    paths = [section.path] if isinstance(section.path, str) else list(section.path)
    return [Path(path).expanduser() for path in paths]


def generated_path(config: RunConfig) -> str | None:
    """Generated text that a run trains on; None for other rows."""
    return config.data.path if isinstance(config.data, GeneratedDataConfig) else config.ood.path


def _generated_file(path: Path) -> Path:
    """The file of generated rows in a folder that holds it."""
    candidates = (path, path / GENERATED_FILE.name, path / GENERATED_FILE)
    return next((candidate for candidate in candidates if candidate.is_file()), path)


def content_digest(config: RunConfig) -> str | None:
    """Hash of the files of a recorded teacher and of their weights, 64 hex digits; None for another teacher.

    A missing file counts as empty: its absence is reported where the files are checked.
    """
    if not isinstance(config.teacher, RecordedTeacherConfig):
        return None
    hashes = [_file_hash(path) for path in paths_of(config)]
    return digest(
        {"files": hashes, "weights": list(config.teacher.weights), "labels": dict(config.teacher.labels or {})}
    )


def _file_hash(path: Path) -> str:
    try:
        state = path.stat()
        return _hash_of_state(path, state.st_size, state.st_mtime_ns)
    except OSError:
        return ""


@lru_cache
def _hash_of_state(path: Path, size: int, modified: int) -> str:
    """Hash of a file in this state, computed once per process."""
    return file_digest(path)
