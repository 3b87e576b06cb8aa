"""Reader of the ledger of an output folder."""

from pathlib import Path
from typing import Any

from kdrun.storage.ledger import LEDGER, read_runs, top_level_runs


def start_line(run_id: str, **changes: Any) -> dict[str, Any]:
    """The first line of a run."""
    line = {
        "event": "start", "run_id": run_id, "run_dir": f"out/{run_id}", "method": "kd", "task": "sst2",
        "preset": "smoke", "seed": 1, "sweep": None, "group": None, "config": {"experiment": None}, "config_hash": "c",
        "code": "d", "command": "kdrun method=kd", "started": 1.7e9, "pid": None,
    }  # fmt: skip
    return line | changes


def end_line(run_id: str, status: str = "done", **changes: Any) -> dict[str, Any]:
    """The last line of a run."""
    line: dict[str, Any] = {"event": "end", "run_id": run_id, "status": status, "error": None, "seconds": 61.4}
    if status == "done":
        line |= {
            "data_name": "SST-2", "synthetic": False, "headline": {"metric": "accuracy", "split": "dev"},
            "teacher": None, "student": {"name": "s", "params": 9, "metrics": {"dev": {"accuracy": 0.8}}},
            "retention": None, "provenance": {"config_hash": "c", "code": "d", "data_hash": "e"},
        }  # fmt: skip
    return line | changes


def comparison_line(comparison_id: str, **changes: Any) -> dict[str, Any]:
    """The record of a comparison of one arm."""
    arm = {"name": "kd", "words": ["method=kd"], "scores": {"1": 0.6}, "mean": 0.6, "sd": None, "kept": None}
    line = {
        "event": "comparison", "comparison_id": comparison_id, "started": 1.7e9, "task": "sst2", "synthetic": False,
        "preset": "smoke", "metric": "accuracy", "split": "dev", "student": "s", "seeds": [1], "margin": 0.01,
        "confidence": 0.95, "command": "kdrun compare method=kd", "arms": [arm | {"seconds": 1.0}], "pairs": [],
    }  # fmt: skip
    return line | changes


def read_ledger(output_dir: Path, sweep: str | None = None) -> list[dict[str, Any]]:
    """The runs of an output folder or of one sweep, without the per-domain runs that another run contains."""
    runs = top_level_runs(read_runs(output_dir / LEDGER))
    return [run for run in runs if sweep is None or run.get("sweep") == sweep]
