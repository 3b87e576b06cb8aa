"""Records of unfinished comparisons."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console as RichConsole

from kdrun.console import Console
from kdrun.experiments.compare import save
from kdrun.reporting.tables import claims, comparisons
from kdrun.storage.ledger import read_comparisons


def record(seeds: int, *, finished: bool) -> dict[str, Any]:
    scores = {str(seed): 0.8 for seed in range(1, seeds + 1)}
    arm = {"words": [], "scores": scores, "mean": 0.8, "sd": 0.0, "kept": None, "seconds": 1.0}
    pair = {"seeds": seeds, "how": "how", "difference": 0.1, "interval": [0.05, 0.15], "confidence": 0.95}
    names = [("kd", "a", "BEATS"), ("kd", "b", "INCONCLUSIVE")]
    return {
        "event": "comparison",
        "comparison_id": "abc",
        "started": 1000.0 + seeds,
        "task": "sst2",
        "synthetic": False,
        "preset": "mini",
        "metric": "accuracy",
        "split": "dev",
        "student": "tiny",
        "seeds": list(range(1, seeds + 1)),
        "margin": 0.01,
        "confidence": 0.95,
        "command": "kdrun compare task=sst2 until=decided",
        "arms": [arm | {"name": name} for name in ("kd", "a", "b")],
        "pairs": [pair | {"a": a, "b": b, "word": word, "asked": True} for a, b, word in names],
        "claims": [{"a": a, "b": b, "outcome": claims.OUTCOMES[word], "text": "…"} for a, b, word in names],
        "sequential": {"rule": "rule", "first_look": 3, "max_seeds": 20, "seeds": {"kd": seeds}},
        "finished": finished,
    }


@pytest.fixture
def config(tmp_path: Path) -> Any:
    return SimpleNamespace(output_dir=str(tmp_path), task=SimpleNamespace(name="sst2"), report=False)


def test_a_look_replaces_an_earlier_one_and_nothing_later(tmp_path: Path, config: Any) -> None:
    text = io.StringIO()
    console = Console(RichConsole(file=text, width=200))
    for seeds in (3, 4, 3, 4):  # the last two are those of a repeated command
        save.save_look(record(seeds, finished=False), config, console)
    path = tmp_path / "compare" / "sst2" / "abc" / "comparison.json"
    assert text.getvalue().split() == ["verdicts", "so", "far:", str(path)] * 2
    assert json.loads(path.read_text())["seeds"] == [1, 2, 3, 4]
    save._write(record(5, finished=True), config)
    save.save_look(record(9, finished=False), config, console)
    (kept,) = read_comparisons(tmp_path / "ledger.jsonl")
    assert (kept["finished"], len(kept["seeds"])) == (True, 5)


def test_a_damaged_record_is_replaced(tmp_path: Path, config: Any) -> None:
    folder = tmp_path / "compare" / "sst2" / "abc"
    folder.mkdir(parents=True)
    (folder / "comparison.json").write_text("{")
    save.save_look(record(3, finished=False), config, Console(RichConsole(file=io.StringIO())))
    assert json.loads((folder / "comparison.json").read_text())["seeds"] == [1, 2, 3]


def test_tables_name_an_unfinished_comparison_and_its_open_claims() -> None:
    table = comparisons.verdict_table([record(4, finished=False)], [], 1)
    assert [row[-1] for row in table.rows] == ["BEATS", "INCONCLUSIVE (so far)"]
    (note,) = (note for note in table.notes if note.startswith("Unfinished"))
    assert "4 seeds of at most 20" in note
    finished = comparisons.verdict_table([record(4, finished=True)], [], 1)
    assert [row[-1] for row in finished.rows] == ["BEATS", "INCONCLUSIVE"]
    assert not any(note.startswith("Unfinished") for note in finished.notes)
