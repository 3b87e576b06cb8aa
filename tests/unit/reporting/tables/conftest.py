"""Ledger records of runs and comparisons for the tests of the tables."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

Record = dict[str, Any]
NAMES = {"sst2": "SST-2", "cola": "CoLA"}


@pytest.fixture
def make_run() -> Callable[..., Record]:
    """A finished run of an older version, whose settings are its overrides; `keys` replace the defaults."""
    number = count(1)

    def make(method: str, task: str, seed: int, score: float | None, *words: str, **keys: Any) -> Record:
        i = next(number)
        metric = "mcc" if task == "cola" else "accuracy"
        record = {
            "event": "run", "run_id": f"r{i}", "status": "done", "started": float(i), "method": method, "task": task,
            "data_name": NAMES[task], "synthetic": False, "preset": "mini", "seed": seed, "seconds": 60.0,
            "error": None,
            "command": " ".join(["kdrun", f"method={method}", f"task={task}", f"seed={seed}", *words]),
            "headline": {"metric": metric, "split": "dev"},
            "student": {"name": "small", "params": 10, "metrics": {"dev": {metric: score}}},
            "teacher": None if method == "finetune" else
                {"name": "big", "params": 99, "metrics": {"dev": {metric: 0.9}}},
            "provenance": {"code": "c0de" * 4, "data_hash": f"{task}-rows", "torch": "2", "transformers": "5"},
            "checkpoint": {"selected": "best_dev", "split": "dev", "step": 9, "note": None}, "steps": {"student": 9},
        }  # fmt: skip
        return record | keys

    return make


@pytest.fixture
def make_comparison() -> Callable[..., Record]:
    """A comparison of kd and finetune on synthetic sst2 with seeds 1 and 2; `keys` replace the defaults."""

    def make(**keys: Any) -> Record:
        def arm(name: str, scores: list[float], kept: float | None) -> Record:
            mean = sum(scores) / len(scores)
            return {
                "name": name, "words": [f"method={name}", "teacher.path=/home/al/minilm", "output_dir=/tmp/x"],
                "folders": {"1": "/tmp/x/kd"}, "scores": dict(zip("12", scores, strict=False)), "mean": mean,
                "sd": 0.014142135 if len(scores) > 1 else None, "kept": kept, "seconds": 150.0,
                "steps": {"student": 40, "generator": 4}, "failed": {},
            }  # fmt: skip

        pair = {"a": "kd", "b": "finetune", "difference": 0.02, "interval": [-0.01, 0.05], "word": "INCONCLUSIVE"}
        record = {
            "event": "comparison", "comparison_id": "c1", "started": 1.0, "seconds": 9.0, "task": "sst2",
            "data_name": "sst2 (synthetic)", "synthetic": True, "preset": "smoke", "student": "small",
            "teacher": {"name": "big", "score": 0.9}, "guess": 0.5,
            "metric": "accuracy", "split": "dev", "chosen_on": "dev",
            "seeds": [1, 2], "code": "c0de", "kdrun": "0.1.0", "margin": 0.01, "confidence": 0.95, "uneven_steps": [],
            "command": "kdrun compare method=kd optim.epochs=3 seeds=2 teacher.path=/home/al/minilm output_dir=/tmp/x",
            "arms": [arm("finetune", [0.79, 0.81], None), arm("kd", [0.81, 0.83], 0.911)],
            "pairs": [{**pair, "seeds": 2, "seeds_needed": 9, "how": "paired t", "reason": "needs about 9 seeds"}],
        }  # fmt: skip
        return record | keys

    return make
