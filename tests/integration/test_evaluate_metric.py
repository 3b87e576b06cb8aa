"""The metrics as a metric of the library `evaluate`, in a process of its own without a network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kdrun.tasks import metrics
from tests.helpers.paths import ROOT

PREDICTED, GOLD = [1, 1, 0, 0, 1], [1, 0, 0, 1, 1]

WRAPPED = """
import json, socket, sys
def refuse(*a, **k): raise AssertionError("network")
socket.socket.connect = socket.getaddrinfo = refuse
from kdrun.tasks.glue_metric import configurations as metrics
import evaluate
folder, (x, y), (p, g) = sys.argv[1], *json.loads(sys.argv[2])
def error(m, *pair):
    try: m.compute(predictions=pair[0], references=pair[1])
    except ValueError as found: return str(found)
file = evaluate.load(folder + "/glue_metric.py", "mrpc")
batched = metrics.as_evaluate_metric("mrpc")
batched.add_batch(predictions=p[:2], references=g[:2])
batched.add_batch(predictions=p[2:], references=g[2:])
scores = metrics.as_evaluate_metric("stsb")
print(json.dumps({
    "file": file.compute(predictions=p, references=g),
    "folder": evaluate.load(folder, "mcc,accuracy").compute(predictions=p, references=g),
    "batched": batched.compute(),
    "scores": scores.compute(predictions=x, references=y),
    "constant": scores.compute(predictions=[1.0] * len(y), references=y),
    "cut": error(metrics.as_evaluate_metric("sst2"), [0.9] * len(g), g),
    "column": error(scores, [[v] for v in x], y),
}))
"""


def test_evaluate_metric_agrees_without_network(tmp_path: Path) -> None:
    x, y = [0.1, 1.3, 1.2, 0.0], [0.0, 1.0, 0.7, 0.2]
    command = [sys.executable, "-c", WRAPPED, str(ROOT / "kdrun" / "tasks" / "glue_metric")]
    offline = {"HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    offline |= {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_METRICS_CACHE": str(tmp_path / "metrics")}
    payload = json.dumps([[x, y], [PREDICTED, GOLD]])
    done = subprocess.run([*command, payload], env=os.environ | offline, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout.splitlines()[-1])

    by_hand = {"f1": pytest.approx(2 / 3), "accuracy": 3 / 5}
    assert scores["file"] == scores["batched"] == by_hand
    assert scores["folder"] == {"mcc": pytest.approx(1 / 6), "accuracy": 3 / 5}
    assert scores["scores"] == metrics.compute(["pearson", "spearman"], np.array(x), np.array(y))
    assert scores["constant"] == {"pearson": None, "spearman": None}
    assert "argmax" in scores["cut"]
    assert scores["column"]
