"""Metrics that reach a tracker."""

import importlib.util
import json
from pathlib import Path

import pytest

from kdrun.cli import main

SMOKE = ["method=finetune", "task=sst2", "preset=smoke", "report=false"]


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="the package tensorboard is not installed")
def test_tensorboard_gets_the_numbers_of_metrics_jsonl(run_env: None, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert main.run([*SMOKE, "tracker=tensorboard", f"run_dir={tmp_path / 'run'}", f"output_dir={tmp_path}"]) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    (events,) = (tmp_path / "run" / "tracker" / "kdrun").glob("events*")
    events_reader = EventAccumulator(str(events))
    events_reader.Reload()
    losses = [(event.step, pytest.approx(event.value)) for event in events_reader.Scalars("student/loss")]
    assert losses == [(line["step"], line["loss"]) for line in lines if "loss" in line]
