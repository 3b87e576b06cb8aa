"""Facts of a run that its model card tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun.config.architectures import find_family
from kdrun.config.model import BAG_OF_WORDS
from kdrun.deployment.saved_folder import CONFIG, SavedFolder
from kdrun.storage import ledger
from kdrun.storage.cost_card import COST, CostCard, read_cost
from kdrun.storage.json_reader import read_object
from kdrun.storage.run_result import RunResult

LEVELS = 5
"""Folders above a run in which its ledger is looked for."""


@dataclass(frozen=True)
class CardFacts:
    """Everything that a card tells.

    Attributes:
        repo: name of its repository on the hub, `USER/NAME`.
        saved: the student.
        config: config of the run.
        result: its result.
        comparison: the newest comparison that the run is a part of; None if it is in none.
        cost: measured costs; None without a measurement.
        license: license of the model, if the user names one.
    """

    repo: str
    saved: SavedFolder
    config: Mapping[str, Any]
    result: RunResult
    comparison: Mapping[str, Any] | None
    cost: CostCard | None
    license: str | None

    @property
    def title(self) -> str:
        """The name; synthetic data is part of the title."""
        name = self.repo.rpartition("/")[2]
        return f"{name} (synthetic data)" if self.result["data"]["synthetic"] else name

    @property
    def is_text_to_text(self) -> bool:
        """Whether the student answers with text and has an encoder."""
        family = find_family(self._model_type)
        return family is not None and family.is_text_to_text

    @property
    def is_decoder(self) -> bool:
        """Whether the student is a causal language model that answers with text."""
        return self.saved.task.is_text and not self.is_text_to_text

    @property
    def task_type(self) -> str:
        """The task as the hub names it."""
        if self.is_decoder:
            return "text-generation"
        return "text2text-generation" if self.is_text_to_text else "text-classification"

    @property
    def needs_kdrun(self) -> bool:
        """Whether plain transformers cannot load the student."""
        return self._model_type == BAG_OF_WORDS

    @property
    def _model_type(self) -> object:
        path = self.saved.folder / CONFIG
        return read_object(path.read_bytes(), {}, str(path)).get("model_type")


def gather(saved: SavedFolder, repo: str, license_name: str | None) -> CardFacts:
    """The facts of a finished run.

    Raises:
        ModelError: the run has not ended.
        DataError: one of its files is damaged.
    """
    run = saved.run
    assert run is not None
    result = run.result()
    card = read_cost(run.path / COST) if (run.path / COST).is_file() else result.get("cost")
    comparison = find_comparison(run.path, str(run.record["run_id"]))
    return CardFacts(repo, saved, run.record["config"], result, comparison, card, license_name)


def find_comparison(run_dir: Path, run_id: str) -> Mapping[str, Any] | None:
    """The newest comparison with this run as a part, from the ledger in a folder above the run."""
    folder = run_dir.resolve()
    for parent in list(folder.parents)[:LEVELS]:
        path = parent / ledger.LEDGER
        if path.is_file():
            records = ledger.read_comparisons(path)
            with_run = [r for r in records if any(run_id in (arm.get("runs") or {}).values() for arm in r["arms"])]
            return with_run[-1] if with_run else None
    return None
