"""Models that were trained on rows which a run holds out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kdrun.config.schema import RunConfig
from kdrun.storage import json_reader, yaml_reader

CONFIG, TRAINING = "config.yaml", "training.json"
"""Records of a training by kdrun: in the folder of a run, above its student; and in that of a cached teacher."""
MOST_BYTES = yaml_reader.MAX_BYTES


def conflict(config: RunConfig, role: str, path: str) -> str | None:
    """The problem of a model that kdrun trained on held-out rows of this run; None if its folder records no such thing.

    Args:
        config: of the run.
        role: of the model.
        path: folder of the model.
    """
    count, seed = config.evaluation.held_out, config.evaluation.held_out_seed
    if count is None:
        return None
    for file, task, held_out in _records(Path(path).expanduser()):
        if task != config.task.name or (held_out is not None and held_out[0] >= count and held_out[1] == seed):
            continue
        trained = "no held-out rows" if held_out is None else "other held-out rows"
        values = "" if held_out is None else f" (evaluation.held_out={held_out[0]}, held_out_seed={held_out[1]})"
        return (
            f"{role}.path={path} was trained on task={task} with {trained}{values}, as {file} says, and may have seen "
            f"rows that this run holds out (evaluation.held_out={count}, held_out_seed={seed}); give a model that was "
            "trained with the same values, or leave the path out"
        )
    return None


def is_recorded(path: str) -> bool:
    """Whether a model's folder records its training by kdrun."""
    return next(_records(Path(path).expanduser()), None) is not None


def _records(folder: Path) -> Iterator[tuple[Path, str, tuple[int, int] | None]]:
    """The records of a training: file, task, and number and seed of held-out rows (None without them)."""
    for file in (folder / CONFIG, folder.parent / CONFIG):
        values = _read(file, yaml_reader.parse)
        if isinstance(values.get("task"), dict) and "method" in values:
            evaluation = values.get("evaluation")
            yield file, str(values["task"].get("name")), _held_out(evaluation if isinstance(evaluation, dict) else {})
    values = _read(folder / TRAINING, json_reader.parse)
    if isinstance(values.get("task"), str):
        yield folder / TRAINING, values["task"], _held_out(values)


def _read(file: Path, parse: Any) -> dict[str, Any]:
    """The content of a record; empty if there is none that can be read."""
    try:
        if not file.is_file() or file.stat().st_size > MOST_BYTES:
            return {}
        values = parse(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _held_out(values: dict[str, Any]) -> tuple[int, int] | None:
    count, seed = values.get("held_out"), values.get("held_out_seed")
    return (count, seed) if isinstance(count, int) and isinstance(seed, int) else None
