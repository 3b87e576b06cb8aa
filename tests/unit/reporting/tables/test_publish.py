"""Published lines: no traces of one machine, and the same tables."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdrun.errors import ConfigError, DataError
from kdrun.reporting.tables import publish, run_facts
from kdrun.storage.ledger import finished_records, read_comparisons, read_runs

Make = Callable[..., dict[str, Any]]
CONFIG = {
    "data": {"name": "folder", "dir": "/home/al/glue"}, "teacher": {"path": "../models/minilm", "hub": "org/minilm"},
    "task": {"folder": {"dir": "SST-2"}}, "corpus": {"dir": "texts/wiki"}, "optim": {"lr": 0.1},
    "output_dir": "/tmp/out",
}  # fmt: skip
WORDS = ("data.dir=/home/al/glue", "teacher.path=../models/minilm", "corpus.dir=texts/wiki", "output_dir=/tmp/out")


def test_a_run_loses_its_folders_and_keeps_what_it_computed(make_run: Make) -> None:
    run = make_run("kd", "sst2", 1, 0.8, *WORDS, config=CONFIG, pid=7, run_dir="/tmp/out/kd/r1")
    published = publish.to_published(run)
    command = "kdrun method=kd task=sst2 seed=1 data.dir=DATA_DIR teacher.path=TEACHER_PATH corpus.dir=CORPUS_DIR"
    assert published["command"] == command
    assert published["config"] == {
        "data": {"name": "folder", "dir": "DATA_DIR"}, "teacher": {"path": "TEACHER_PATH", "hub": "org/minilm"},
        "task": {"folder": {"dir": "SST-2"}}, "corpus": {"dir": "CORPUS_DIR"}, "optim": {"lr": 0.1},
    }  # fmt: skip
    assert published["path_names"] == {"teacher.path": "minilm", "corpus.dir": "wiki"}
    assert published["event"] == "run"
    assert published["student"] == run["student"]
    assert not {"pid", "run_dir"} & set(published)
    old, new = finished_records([run, published])
    assert run_facts.run_entry(new, "accuracy", "dev").identity == run_facts.run_entry(old, "accuracy", "dev").identity


def test_a_second_publication_changes_nothing(make_run: Make) -> None:
    published = publish.to_published(make_run("kd", "sst2", 1, 0.8, *WORDS, config=CONFIG))
    assert publish.to_published(published) == published


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("DataError: /home/al/glue/SST-2 is missing", "DataError: DATA_DIR/SST-2 is missing"),
        ("OSError: '/var/tmp/a b.txt' (see ~/log)", "OSError: 'PATH b.txt' (see PATH)"),
        ("see https://example.org/a and 3/4 or a/b", "see https://example.org/a and 3/4 or a/b"),
    ],
)
def test_paths_leave_the_text_of_an_error(make_run: Make, error: str, expected: str) -> None:
    run = make_run("kd", "sst2", 1, 0.8, *WORDS, status="failed", error=error)
    assert publish.to_published(run)["error"] == expected


def test_a_comparison_loses_its_folders(make_comparison: Make) -> None:
    published = publish.to_published(make_comparison())
    text = json.dumps(published)
    assert "/home" not in text
    assert "/tmp" not in text
    assert "OUTPUT_DIR" not in text
    assert published["arms"][0]["words"] == ["method=finetune", "teacher.path=TEACHER_PATH"]
    assert published["command"] == "kdrun compare method=kd optim.epochs=3 seeds=2 teacher.path=TEACHER_PATH"


def test_statistics_of_generated_text_are_unchanged(make_comparison: Make) -> None:
    """The statistic `words` has the same key as the overrides of an arm."""
    comparison = make_comparison()
    comparison["arms"][1]["made_text"] = statistics = {"distinct_1": 0.2, "words": 25.9, "agreement": None}
    assert publish.to_published(comparison)["arms"][1]["made_text"] == statistics


def test_a_file_is_added_to_and_read_back(make_run: Make, make_comparison: Make, tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.jsonl"
    first, second = make_run("kd", "sst2", 1, 0.8), make_run("kd", "sst2", 2, 0.8)
    assert publish.merge_into(path, [first, second]) == (0, 0)
    assert publish.merge_into(path, [first | {"seconds": 5.0}, make_comparison()]) == (1, 1)
    assert [(run["run_id"], run["seconds"], run["status"]) for run in read_runs(path)] == [
        ("r1", 5.0, "done"), ("r2", 60.0, "done"),
    ]  # fmt: skip
    assert [comparison["comparison_id"] for comparison in read_comparisons(path)] == ["c1"]


def test_a_live_ledger_and_other_files_are_refused(make_run: Make, tmp_path: Path) -> None:
    live, other = tmp_path / "ledger.jsonl", tmp_path / "notes.txt"
    live.write_text(json.dumps({"event": "start", "run_id": "a"}) + "\n")
    other.write_text("notes\n")
    with pytest.raises(ConfigError, match=r"export=.*ledger\.jsonl"):
        publish.merge_into(live, [make_run("kd", "sst2", 1, 0.8)])
    with pytest.raises(DataError, match=r"export=.*notes\.txt"):
        publish.merge_into(other, [make_run("kd", "sst2", 1, 0.8)])
    assert other.read_text() == "notes\n"
