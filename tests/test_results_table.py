"""The published tables are what the published ledger lines say."""

import importlib.util
import json
from pathlib import Path
from typing import Any

from kdrun.results import read_runs

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "conf" / "experiment" / "README.md"


def script() -> Any:
    spec = importlib.util.spec_from_file_location("results_table", ROOT / "scripts" / "results_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(method: str, seed: int, value: float, words: str = "") -> dict[str, Any]:
    teacher = {"metrics": {"dev": {"accuracy": 0.9}}} if method == "kd" else None
    return {
        "status": "done", "method": method, "seed": seed, "data_name": "RTE", "seconds": 60.0, "teacher": teacher,
        "student": {"name": "s", "metrics": {"dev": {"accuracy": value}}},
        "headline": {"metric": "accuracy", "split": "dev"},
        "command": f"kdrun method={method} task=rte seed={seed} {words}",
    }  # fmt: skip


def test_cells_are_means_over_seeds_and_differences_are_paired() -> None:
    runs = [run("finetune", 1, 0.5), run("finetune", 2, 0.7), run("kd", 1, 0.6), run("kd", 2, 0.8), run("kd", 3, 0.1)]
    (line,) = script().table(runs).splitlines()[2:]
    assert "| 60.0 ± 14.1 (2) |" in line
    assert "| +10.0 ± 0.0 (2) |" in line
    assert "| 90.0 |" in line


def test_differing_settings_and_unfinished_runs_are_never_averaged() -> None:
    other = run("kd", 1, 0.9, "optim.epochs=9")
    hot = run("kd", 1, 0.3, "method.temperature=4")
    broken = {**run("kd", 2, 0.0), "status": "failed"}
    lines = script().table([run("finetune", 1, 0.5), run("kd", 1, 0.6), other, hot, broken]).splitlines()[2:]
    assert [line.split(" | ")[3] for line in lines] == ["preset", "method.temperature=4", "optim.epochs=9"]
    assert "n/a" in lines[2]


def test_the_table_in_the_readme_is_made_from_the_ledger() -> None:
    runs = read_runs(script().PUBLISHED)
    assert len(runs) >= 30
    table = script().table(runs)
    assert table in README.read_text()
    assert "/home/" not in json.dumps(runs)


def test_the_main_readme_quotes_it() -> None:
    lines = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| SST-2 |")]
    assert lines
    table = script().table(read_runs(script().PUBLISHED)).splitlines()
    assert all(line in table for line in lines)
