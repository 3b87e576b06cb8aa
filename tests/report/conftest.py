"""Folders of made runs and comparisons."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_runs import CONFIG, lines, metrics, predictions, record, result


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """A run folder with the given files; keywords change its result."""

    def make(
        name: str = "run",
        *,
        log: list[dict[str, Any]] | None = None,
        answers: list[dict[str, Any]] | None = None,
        texts: list[dict[str, Any]] | None = None,
        generator: str = "none",
        **changes: Any,
    ) -> Path:
        folder, told = tmp_path / name, result(**changes)
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(told))
        config = CONFIG.format(method=told["method"], generator=generator, seed=told["seed"])
        (folder / "config.yaml").write_text(config)
        lines(folder / "metrics.jsonl", metrics() if log is None else log)
        lines(folder / "predictions.jsonl", predictions() if answers is None else answers)
        if texts is not None:
            lines(folder / "samples.jsonl", texts)
        return folder

    return make


@pytest.fixture
def make_comparison(tmp_path: Path, make_run: Callable[..., Path]) -> Callable[..., Path]:
    """A comparison's folder, with the folders of its runs."""

    def make(*, with_runs: bool = True, **changes: Any) -> Path:
        told = record(**changes)
        for arm in told["arms"] if with_runs else ():
            for seed, value in arm["scores"].items():
                where = make_run(f"runs/{arm['name']}-{seed}", method=arm["name"], seed=int(seed))
                found = json.loads((where / "result.json").read_text())
                found["student"]["metrics"]["dev"]["accuracy"] = value
                (where / "result.json").write_text(json.dumps(found))
                arm["folders"][seed] = str(where)
        folder = tmp_path / "comparison"
        folder.mkdir()
        (folder / "comparison.json").write_text(json.dumps(told))
        return folder

    return make
