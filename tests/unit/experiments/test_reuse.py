"""Earlier runs with the same key."""

import json
from pathlib import Path

import pytest

from kdrun.config import compose
from kdrun.experiments import reuse
from kdrun.storage.ledger import Status

KEY = ("config", "code", "data")


def add_run(tmp_path: Path, run_id: str, status: str, data: str | None = "data", config: str = "config") -> Path:
    folder = tmp_path / run_id
    folder.mkdir()
    start = {"event": "start", "run_id": run_id, "run_dir": str(folder), "config_hash": config, "code": "code"}
    start |= {
        "method": "kd",
        "task": "sst2",
        "preset": "smoke",
        "seed": 1,
        "command": "kdrun",
        "config": {},
        "started": 0.0,
        "group": None,
    }
    found = {} if data is None else {"found": {"data": data}}
    (folder / "run.json").write_text(json.dumps(start | found))
    end = {"event": "end", "run_id": run_id, "status": status, "error": status}
    with (tmp_path / "ledger.jsonl").open("a") as file:
        file.write(json.dumps(start) + "\n" + json.dumps(end) + "\n")
    return folder


def test_an_interrupted_run_is_preferred_to_a_failed_one_and_a_new_to_an_old_one(tmp_path: Path) -> None:
    assert reuse.find_run(tmp_path, KEY) is None
    add_run(tmp_path, "old", "interrupted")
    newest = add_run(tmp_path, "new", "interrupted")
    add_run(tmp_path, "newer", "failed")
    assert reuse.find_run(tmp_path, KEY) == reuse.ExistingRun(Status.interrupted, newest, "interrupted")


@pytest.mark.parametrize(("data", "config"), [("other", "config"), ("data", "other")])
def test_a_run_with_other_rows_or_another_config_does_not_count(tmp_path: Path, data: str, config: str) -> None:
    add_run(tmp_path, "one", "interrupted", data, config)
    assert reuse.find_run(tmp_path, KEY) is None


def test_a_run_that_stopped_before_it_read_its_rows_counts(tmp_path: Path) -> None:
    folder = add_run(tmp_path, "one", "interrupted", data=None)
    existing = reuse.find_run(tmp_path, KEY)
    assert existing is not None
    assert existing.folder == folder


def test_rows_depend_on_data_domain_and_method_but_not_on_training() -> None:
    def identity(*overrides: str) -> str:
        return reuse.data_identity(compose.load_config(["task=amazon", "preset=smoke", *overrides]))

    tinybert = ["method=tinybert_kd", "method.domain=all"]
    assert identity("seed=2", "optim.lr=1e-3") == identity("method=kd")
    assert identity("data.max_train_rows=9") != identity("method=kd")
    assert identity("method=tinybert_kd", "method.domain=books") != identity(*tinybert)
    assert identity("method=zskd") != identity("method=kd")
