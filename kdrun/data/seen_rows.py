"""Models that were trained on rows which a run holds out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun.config.evaluation import AGREEMENT_ROWS
from kdrun.config.schema import RunConfig
from kdrun.storage import json_reader, yaml_reader

CONFIG, TRAINING = "config.yaml", "training.json"
"""Records of a training by kdrun: in the folder of a run, above its student; and in that of a cached teacher."""
MOST_BYTES = yaml_reader.MAX_BYTES


@dataclass(frozen=True)
class _HeldOut:
    """Held-out rows of a training: `evaluation.held_out`, `evaluation.agreement_rows` and their seed."""

    count: int
    agreement_rows: int
    seed: int

    def __bool__(self) -> bool:
        return bool(self.count or self.agreement_rows)

    def __str__(self) -> str:
        counts = {"held_out": self.count, AGREEMENT_ROWS: self.agreement_rows}
        texts = [f"evaluation.{key}={value}" for key, value in counts.items() if value]
        return ", ".join([*texts, f"held_out_seed={self.seed}"])

    def contains(self, other: _HeldOut) -> bool:
        """Whether all rows of another choice are held out here: a larger number contains the rows of a smaller one."""
        if self.seed != other.seed:
            return False
        if not other.agreement_rows:
            return self.count >= other.count
        return self.count == other.count and self.agreement_rows >= other.agreement_rows


def conflict(config: RunConfig, role: str, path: str) -> str | None:
    """The problem of a model that kdrun trained on held-out rows of this run; None if its folder records no such thing.

    Args:
        config: of the run.
        role: of the model.
        path: folder of the model.
    """
    rows = config.evaluation
    needed = _HeldOut(rows.held_out or 0, rows.agreement_rows or 0, rows.held_out_seed)
    if not needed:
        return None
    for file, task, held_out in _records(Path(path).expanduser()):
        if task != config.task.name or held_out.contains(needed):
            continue
        trained = f"other held-out rows ({held_out})" if held_out else "no held-out rows"
        return (
            f"{role}.path={path} was trained on task={task} with {trained}, as {file} says, and may have seen rows "
            f"that this run holds out ({needed}); give a model that was trained with the same values, or leave the "
            "path out"
        )
    return None


def is_recorded(path: str) -> bool:
    """Whether a model's folder records its training by kdrun."""
    return next(_records(Path(path).expanduser()), None) is not None


def _records(folder: Path) -> Iterator[tuple[Path, str, _HeldOut]]:
    """The records of a training: file, task, and held-out rows."""
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


def _held_out(values: dict[str, Any]) -> _HeldOut:
    held_out, agreement_rows, seed = (values.get(key) for key in ("held_out", AGREEMENT_ROWS, "held_out_seed"))
    if not isinstance(seed, int):
        return _HeldOut(0, 0, 0)
    counts = [value if isinstance(value, int) else 0 for value in (held_out, agreement_rows)]
    return _HeldOut(counts[0], counts[1], seed)
