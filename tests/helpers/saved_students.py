"""Run directories with a saved student and no training."""

import json
from pathlib import Path
from typing import Any

from kdrun.deployment.row_model import TorchModel, logits_in_order
from kdrun.deployment.saved_model import load_saved
from kdrun.storage.serialization import to_plain
from tests.helpers.finished_runs import lines, result
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


TEXTS = [
    ("The cat sees the dog", "the dog is happy"),
    ("The horse", "it"),
    ("The teacher follows the student, and the café's naïve owner is happy", "the student paints the garden"),
    ("The river crosses the garden", "The mountain remembers the river and the garden"),
]


def finish_run(run_dir: Path, rows: int = 40) -> Path:
    """Add result.json, and predictions.jsonl with the student's answers as gold labels."""
    saved = load_saved(run_dir)
    texts = [TEXTS[i % len(TEXTS)] for i in range(rows)]
    outputs = logits_in_order(TorchModel(saved), saved.tokenize(texts), 8, "scoring")
    records = saved.task_type.prediction_records(outputs, [first for first, _ in texts])
    lines(
        run_dir / "predictions.jsonl",
        [
            {"id": i, "split": "dev", "text": first, "text_pair": second, "gold": record["prediction"], **record}
            for i, ((first, second), record) in enumerate(zip(texts, records, strict=True))
        ],
    )
    (run_dir / "result.json").write_text(json.dumps(result(task="mnli")))
    return run_dir
