"""Run directories with a saved student and no training."""

import json
from pathlib import Path
from typing import Any

from kdrun.storage.serialization import to_plain
from tests.helpers.tiny_families import save_checkpoint
from tests.helpers.tiny_models import MNLI

MAX_LENGTH = 24


def record_of(**changes: Any) -> dict[str, Any]:
    """Content of run.json of a run on MNLI."""
    task = to_plain(MNLI) | changes
    config = {"method": {"name": "kd"}, "task": task, "data": {"max_length": MAX_LENGTH}}
    return {"run_id": "a", "command": "kdrun method=kd", "config": config, "code": "0"}


def save_run(run_dir: Path, model_type: str = "bert", **sizes: Any) -> Path:
    """A run directory with a random student."""
    save_checkpoint(model_type, run_dir / "student", **sizes)
    (run_dir / "run.json").write_text(json.dumps(record_of()))
    return run_dir
