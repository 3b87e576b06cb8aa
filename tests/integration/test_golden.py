"""Twenty steps of every method against a stored trajectory.

A change of numbers is deliberate: run `KDRUN_WRITE_GOLDEN=1 scripts/test integration/test_golden.py`, look at the
difference, and commit the files with the reason. The tolerance covers other processors and library builds.
"""

import json
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from kdrun import registry
from tests.helpers.embedded_rows import fewer_rows
from tests.helpers.runs import finish, read_lines, smoke_config

FOLDER = Path(__file__).parent / "golden"
METHODS = [name for name, entry in registry.entries("method").items() if entry.target.__module__.startswith("kdrun.")]
SETTINGS = {
    "meta_kd": ["task=amazon", "method.domain=books"],
    "gkd": ["task=conll2003", "teacher=t5_smoke", "student=t5_smoke", "task.answer_tokens=8"],
}
TOLERANCE = 1e-3
"""Relative difference of a logged value that another processor may cause in twenty steps."""
NOT_COMPARED = {"examples_per_s"}

pytestmark = pytest.mark.usefixtures("run_env")


def trajectory(method: str, folder: Path) -> dict[str, Any]:
    """Logged values of a run: loss, terms, gradient norm and scores by step."""
    overrides = SETTINGS.get(method, ["task=sst2"])
    config = smoke_config(folder, f"method={method}", "optim.steps=20", "teacher.allow_weak=true", *overrides)
    result, run_dir, _ = finish(config)
    records = [{k: v for k, v in r.items() if k not in NOT_COMPARED} for r in read_lines(run_dir / "metrics.jsonl")]
    return {"steps": result["steps"], "metrics": result["student"]["metrics"], "records": records}


@pytest.mark.parametrize("method", METHODS)
def test_trajectory_matches_the_stored_one(method: str, tmp_path: Path) -> None:
    with fewer_rows("conll2003", train=64, dev=8, test=8) if method == "gkd" else nullcontext():
        path, current = FOLDER / f"{method}.json", trajectory(method, tmp_path)
    if os.environ.get("KDRUN_WRITE_GOLDEN"):
        path.write_text(json.dumps(current, indent=1) + "\n")
    stored = json.loads(path.read_text())
    assert current["steps"] == stored["steps"]
    assert [list(record) for record in current["records"]] == [list(record) for record in stored["records"]]
    for record, expected in zip(current["records"], stored["records"], strict=True):
        for name, value in expected.items():
            if isinstance(value, float):
                assert record[name] == pytest.approx(value, rel=TOLERANCE, abs=1e-6), (record["step"], name)
            elif name != "eval":
                assert record[name] == value, (record["step"], name)


def test_every_stored_trajectory_has_its_method() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == sorted(METHODS)
