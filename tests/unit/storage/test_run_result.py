"""Reading result.json, and its line of the ledger."""

import json
from pathlib import Path
from typing import Any

import pytest

from kdrun.errors import DataError
from kdrun.storage.run_result import SCHEMA, headline_score, ledger_result, read_result
from tests.helpers import forked
from tests.helpers.finished_runs import result


def write(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "result.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("schema", [{}, {"schema": SCHEMA}])
def test_results_of_this_and_older_versions_are_read(tmp_path: Path, schema: dict[str, int]) -> None:
    content = result(**schema)
    assert read_result(write(tmp_path, content)) == content


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"a', "not JSON"),
        ([1], "object"),
        ({"method": "kd"}, "task is missing.*data is missing"),
        (result(schema=SCHEMA + 1), f"schema={SCHEMA + 1}.*{SCHEMA}"),
        (result(schema="1.0"), "schema=1.0"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: Any, problem: str) -> None:
    with pytest.raises(DataError, match=rf"result\.json.*{problem}"):
        read_result(write(tmp_path, content))


def test_the_ledger_repeats_part_of_a_result() -> None:
    content: Any = result()
    line = ledger_result(content)
    assert (line["data_name"], line["synthetic"]) == ("SST-2", False)
    assert {key: value for key, value in line.items() if key not in ("data_name", "synthetic")} == {
        key: content[key]
        for key in ("headline", "teacher", "student", "retention", "time", "steps", "checkpoint", "provenance")
    }


def test_headline_score() -> None:
    content: Any = result()
    assert headline_score(content["headline"], content["student"]) == 0.84
    assert headline_score(content["headline"], None) is None


def test_reading_results_needs_no_torch() -> None:
    code = "import sys, kdrun.storage.run_result; assert 'torch' not in sys.modules"
    assert forked.without_torch().run(code).returncode == 0
