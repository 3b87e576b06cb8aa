"""Facts of ledger lines, old and new."""

from collections.abc import Callable
from typing import Any

import pytest

from kdrun.reporting.tables import run_facts
from kdrun.reporting.tables.grouping import Entry
from kdrun.storage.ledger import finished_records

Make = Callable[..., dict[str, Any]]


def entry(run: dict[str, Any]) -> Entry:
    (record,) = finished_records([run])
    return run_facts.run_entry(record, "accuracy", "dev")


def test_an_older_run_is_identified_by_its_overrides(make_run: Make) -> None:
    facts = entry(
        make_run("kd", "sst2", 1, 0.8, "preset=mini", "student=tiny", "optim.epochs=3.0", "output_dir=/tmp/x")
    )
    assert facts.overrides == {"optim.epochs": "3"}
    assert facts.settings == {"student": "tiny", "optim.epochs": "3", "steps": "student 9"}


def test_a_run_with_its_config_is_known_by_that(make_run: Make) -> None:
    config = {"optim": {"epochs": 3.0}, "loss": {"name": None}, "seed": 1, "output_dir": "/tmp/x", "tracker": {"a": 1}}
    facts = entry(make_run("kd", "sst2", 1, 0.8, "optim.epochs=3", "experiment=mine", config=config))
    assert facts.settings == {"optim.epochs": "3", "loss.name": "null", "steps": "student 9"}
    assert facts.overrides == {"optim.epochs": "3"}


def test_an_experiment_counts_where_its_content_is_not_known(make_run: Make) -> None:
    assert entry(make_run("kd", "sst2", 1, 0.8, "experiment=mine")).overrides == {"experiment": "mine"}


def test_seed_place_and_speed_are_no_differences(make_run: Make) -> None:
    here = make_run("kd", "sst2", 1, 0.8, "data.dir=/a/glue", "output_dir=/a", "runtime.threads=1", "debug=true")
    other_run = make_run("kd", "sst2", 2, 0.9, "data.dir=/b/GLUE", "run_dir=/c")
    assert entry(here).identity == entry(other_run).identity


@pytest.mark.parametrize(
    "word", ["optim.steps=9", "runtime.precision=bf16", "corpus.dir=/b/wiki", "checkpoint_selection=last", "loss=kl"]
)
def test_other_settings_are_differences(make_run: Make, word: str) -> None:
    plain, other = make_run("kd", "sst2", 1, 0.8, "corpus.dir=/a/news"), make_run("kd", "sst2", 2, 0.8, word)
    assert entry(plain).identity != entry(other).identity


def test_steps_taken_are_differences(make_run: Make) -> None:
    assert (
        entry(make_run("kd", "sst2", 1, 0.8)).identity
        != entry(make_run("kd", "sst2", 2, 0.8, steps={"student": 8})).identity
    )


def test_folders_are_compared_by_their_last_names_as_published_or_not(make_run: Make) -> None:
    here = make_run("kd", "sst2", 1, 0.8, "teacher.path=../models/minilm")
    other_run = make_run("kd", "sst2", 2, 0.8, "teacher.path=TEACHER_PATH", path_names={"teacher.path": "minilm"})
    assert entry(here).identity == entry(other_run).identity
    assert entry(here).overrides == {}


def test_code_falls_back_to_the_commit(make_run: Make) -> None:
    assert run_facts.code_version(make_run("kd", "sst2", 1, 0.8)) == "c0dec0de"
    dirty = {"git": "0123456789abcdef", "dirty": True}
    assert run_facts.code_version(make_run("kd", "sst2", 1, 0.8, provenance=dirty)) == "01234567+changes"
    assert run_facts.code_version(make_run("kd", "sst2", 1, 0.8, provenance=dirty, code="feedfacefeed")) == "feedface"
    assert run_facts.code_version(make_run("kd", "sst2", 1, 0.8, provenance={"git": None})) is None


def test_keys_missing_in_older_lines_are_none(make_run: Make) -> None:
    run = make_run("kd", "sst2", 1, 0.8)
    for key in ("provenance", "checkpoint", "steps", "data_name"):
        del run[key]
    recorded = entry(run).recorded
    assert [recorded[key] for key in ("data", "checkpoint", "code", "torch")] == [None] * 4
    assert recorded["task"] == "sst2"


def test_synthetic_data_is_named_so_once(make_run: Make) -> None:
    assert run_facts.task_name(make_run("kd", "sst2", 1, 0.8, synthetic=True)) == "SST-2 (synthetic)"
    named = make_run("kd", "sst2", 1, 0.8, synthetic=True, data_name="sst2 (synthetic)")
    assert run_facts.task_name(named) == "sst2 (synthetic)"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("data.dir", "glue", True), ("teacher.path", "m", True), ("x.y", "../z", True), ("x.y", "~/z", True),
        ("x", "/z", True), ("teacher.path", "null", False), ("task.folder.dir", "SST-2", False),
        ("teacher.hub", "org/name", False), ("optim.lr", "0.1", False),
    ],
)  # fmt: skip
def test_what_is_a_folder(key: str, value: str, expected: bool) -> None:
    assert run_facts.is_folder(key, value) is expected
