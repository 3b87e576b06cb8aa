"""Read run and comparison folders for reports."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kdrun.errors import DataError
from kdrun.formatting import escape_control
from kdrun.reporting.html import shapes
from kdrun.storage import ledger_shapes, yaml_reader
from kdrun.storage.cost_card import COST, CostCard, read_cost
from kdrun.storage.files import read_valid_jsonl
from kdrun.storage.json_reader import read_object
from kdrun.storage.key_aliases import rename_comparison, rename_config
from kdrun.storage.run_result import RESULT, CheckpointResult, DomainResult, RunResult, TimeResult, read_result

log = logging.getLogger(__name__)


def get_path(record: Mapping[str, Any], *keys: str) -> Any:
    """Return a value deep in a record; None where a key is missing, as in files of older versions."""
    value: Any = record
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


COMPARISON = "comparison.json"
UNKNOWN_CHECKPOINT: CheckpointResult = {"selected": "", "split": None, "step": None, "note": None}


@dataclass(frozen=True)
class FinishedRun:
    """The folder of a finished run; large files are read on first use."""

    folder: Path
    result: RunResult

    @cached_property
    def config_text(self) -> str | None:
        """The resolved config as written; None if the file is missing."""
        path = self.folder / "config.yaml"
        return path.read_text(encoding="utf-8") if path.exists() else None

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved config; empty if the file is missing."""
        config = parse_config(self.config_text or "{}", self.folder / "config.yaml")
        return rename_config(config, [str(get_path(config, "method", "name"))])

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        return read_valid_jsonl(self.folder / "metrics.jsonl", shapes.METRICS)

    @cached_property
    def predictions(self) -> list[dict[str, Any]]:
        """The lines of predictions.jsonl."""
        return read_valid_jsonl(self.folder / "predictions.jsonl", shapes.PREDICTION, shapes.PredictionForms().problem)

    @cached_property
    def samples(self) -> list[dict[str, Any]]:
        """The lines of samples.jsonl."""
        return read_valid_jsonl(self.folder / "samples.jsonl", shapes.SAMPLE, shapes.sample_problem)

    @cached_property
    def card(self) -> dict[str, Any] | None:
        """The card of the exported generated text; None if the run exported none or the card is unreadable."""
        path = self.folder / "generated" / "card.json"
        try:
            return read_object(path.read_bytes(), shapes.CARD, str(path)) if path.exists() else None
        except DataError as error:
            log_unreadable(error)
            return None

    @cached_property
    def cost(self) -> CostCard | None:
        """Measured costs: those of the last `kdrun cost`, else those of the run itself; None without a measurement."""
        path = self.folder / COST
        try:
            return read_cost(path) if path.is_file() else self.result.get("cost")
        except DataError as error:
            log_unreadable(error)
            return None

    @property
    def parts(self) -> dict[str, DomainResult]:
        """Results of the runs of single domains, by domain; empty for other runs."""
        return self.result.get("domains") or {}

    @property
    def checkpoint(self) -> CheckpointResult:
        """The checkpoint that was evaluated; unknown for older runs."""
        return self.result.get("checkpoint") or UNKNOWN_CHECKPOINT

    @property
    def time(self) -> TimeResult | None:
        """Wall times; None for older runs."""
        return self.result.get("time")

    @property
    def synthetic(self) -> bool:
        """Whether the data is synthetic."""
        return bool(self.result["data"]["synthetic"])

    def score(self, role: str, split: str | None = None, metric: str | None = None) -> float | None:
        """Return a role's score, by default the headline score; None if there is none."""
        at = split or self.result["headline"]["split"], metric or self.result["headline"]["metric"]
        return get_path(self.result, "guess", *at) if role == "guess" else get_path(self.result, role, "metrics", *at)

    def reason(self, key: str) -> str | None:
        """Return why a value of the result is null."""
        return (self.result.get("reasons") or {}).get(key)


def read_run(folder: Path) -> FinishedRun:
    """Read a run's folder.

    Raises:
        DataError: the folder holds no result, or result.json was not written by kdrun.
    """
    path = folder / RESULT
    if not path.exists():
        raise DataError(
            f"{folder} has no {RESULT}: the run did not finish, so there is nothing to report "
            "(`kdrun runs` shows whether it is running, failed or interrupted)"
        )
    return FinishedRun(folder, read_result(path))


def read_comparison(folder: Path) -> dict[str, Any]:
    """Read a comparison's record.

    Raises:
        DataError: the folder holds no record, or comparison.json was not written by kdrun.
    """
    path = folder / COMPARISON
    if not path.exists():
        raise DataError(f"{folder} has no {COMPARISON}: it is not a folder of `kdrun compare`")
    record = read_object(path.read_bytes(), ledger_shapes.COMPARISON, f"{path} was not written by kdrun")
    problem = ledger_shapes.pair_problem(record)
    if problem is not None:
        raise DataError(f"{path}: {problem}")
    return rename_comparison(record)


def find_folder(name: str, record_folder: Path) -> Path | None:
    """Find a run folder named in a record: as written, or below a parent of the record's folder; None if missing."""
    for base in (Path(), *record_folder.resolve().parents):
        if (base / name / RESULT).exists():
            return base / name
    return None


def log_unreadable(error: DataError) -> None:
    """Log a warning on a file that a page is built without."""
    log.warning("%s; left out", escape_control(str(error)))


def parse_config(text: str, path: Path) -> dict[str, Any]:
    """Parse the mapping of a config file.

    Raises:
        DataError: the text is not YAML, or not a mapping.
    """
    try:
        config = yaml_reader.parse(text)
    except ValueError as error:
        raise DataError(f"{path} is not readable as YAML: {error}") from None
    if not isinstance(config, dict):
        raise DataError(f"{path} must hold a mapping, got {type(config).__name__}")
    return config
