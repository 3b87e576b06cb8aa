"""Rows of a task, loaded from the configured source."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kdrun import registry
from kdrun.config import domains
from kdrun.config.data import DataConfig
from kdrun.config.task import TaskConfig
from kdrun.config.validation import extraction
from kdrun.data import stratified
from kdrun.data.sources import generated_text
from kdrun.data.sources.generated_text import GeneratedSplit
from kdrun.data.splits import Split, count_overlap, subset
from kdrun.errors import DataError, did_you_mean
from kdrun.storage.hashing import digest

TOLERANCE = 0.02
"""A training split that differs from the official number of rows by this share or more is named by its size."""


@dataclass(frozen=True)
class TaskDataset:
    """The rows of a task as a run uses them.

    Attributes:
        task: the task; by domain where its rows were read so.
        splits: the task's dev splits and `train`, by name; a run on other text than the task's has no `train`.
        source: registered name of the source, e.g. `folder`.
        synthetic: whether the rows were made by a generator; then every number says so.
        notes: what a reader of the result should know, as sentences.
        display_name: the task as results call it: `SST-2`, `QQP-9k` (a subset), `sst2 (synthetic)`.
        ood: out-of-domain rows without labels, which a data-free method trains on instead of `train`.
        generated: generated rows with the labels of the teacher that scored them, likewise for any other method.
        whole: the rows of all domains, where these are those of one.
    """

    task: TaskConfig
    splits: dict[str, Split]
    source: str
    synthetic: bool
    notes: list[str]
    display_name: str
    ood: Split | None = None
    generated: Split | None = None
    all_domains: TaskDataset | None = None

    @property
    def train(self) -> Split:
        """The task's training rows.

        Raises:
            DataError: this is the data of a run on other text, which has none.
        """
        if "train" not in self.splits:
            raise DataError(f"this run is data-free: the training rows of {self.task.name} are out of its reach")
        return self.splits["train"]

    @property
    def student_rows(self) -> Split:
        """The rows that the student learns from: the task's, unless other text takes their place."""
        return self.ood or self.generated or self.train

    @property
    def all_splits(self) -> dict[str, Split]:
        """The task's splits and, as `ood` or `generated`, the rows that take the place of `train`."""
        others = {"ood": self.ood, "generated": self.generated}
        return self.splits | {name: split for name, split in others.items() if split is not None}

    @property
    def card(self) -> dict[str, Any] | None:
        """How the generated text that the student learns from was made; None where there is none, or nobody knows."""
        other = self.ood or self.generated
        return other.card if isinstance(other, GeneratedSplit) else None

    @property
    def fingerprint(self) -> str:
        """A hash of all rows of the run, 64 hex digits; of those of other domains too, which its teacher may read."""
        own = {name: split.fingerprint for name, split in self.all_splits.items()}
        return digest(own if self.all_domains is None else own | {"whole": self.all_domains.fingerprint})

    def rows_by_domain(self, split: str) -> dict[str, int]:
        """How many rows of each domain a split has, in the task's order; empty where rows do not say theirs."""
        ids = self.all_splits[split].domains()
        if ids is None:
            return {}
        counts = np.bincount(ids, minlength=len(self.task.domains))
        return dict(zip(self.task.domains, counts.tolist(), strict=True))

    def only_domain(self, name: str) -> TaskDataset:
        """The rows of one domain in every split; out-of-domain text stays as it is.

        Raises:
            DataError: the task's rows say no domain, it has no such domain, or a split has no row of it.
        """
        return replace(self._where(name, same=True), all_domains=self)

    def without_domain(self, name: str) -> TaskDataset:
        """The rows of all domains but one in every split.

        Raises:
            DataError: as `of_domain`; or a split has no rows left.
        """
        return self._where(name, same=False)

    def _where(self, name: str, *, same: bool) -> TaskDataset:
        known = self.task.domains
        if any(split.domains() is None for split in self.splits.values()):
            raise DataError(f"the rows of {self.display_name} do not say their domain, so none are of {name}")
        if name not in known:
            raise DataError(f"{self.task.name} has no domain {name}{did_you_mean(name, known)} ({', '.join(known)})")
        splits = {}
        for key, split in self.splits.items():
            ids = split.domains()
            splits[key] = split.select(np.flatnonzero((ids == known.index(name)) == same))
            if not splits[key].num_rows:
                which = name if same else f"another domain than {name}"
                raise DataError(f"{key} of {self.display_name} has no row of {which}, of {split.num_rows} rows")
        shown, mark, rest = self.display_name.partition(" (")
        part = f"{shown}/{name}" if same else f"{shown} but {name}"
        return replace(self, splits=splits, display_name=f"{part}{mark}{rest}")


def load_dataset(config: DataConfig, task: TaskConfig, *, train: bool = True, target: str | None = None) -> TaskDataset:
    """The rows of a task from the configured source, with notes on what is unusual.

    The training rows are cut to `max_train_rows` and then, of the target domain or of all, to `train_fraction`; so are
    generated ones in their place.

    Args:
        config: the `data` section; its name picks the source.
        task: the task.
        train: whether to read the training rows; without, no file of theirs is opened, except by a task whose dev
            split is drawn from them.
        target: the domain that `train_fraction` thins out; None is all rows.

    Raises:
        DataError: the source lacks something, a split has no rows, or the task has no domains where they are asked for.
    """
    refused = unsupported_source(task, config.task_section.name)
    if refused:
        raise DataError(refused)
    wanted = ["train", *task.dev_splits] if train else task.dev_splits
    splits: dict[str, Split] = registry.build("data", config.name, config, task, wanted)
    made = splits.pop("generated", None)
    for name in wanted if made is None else task.dev_splits:
        if name not in splits or not splits[name].num_rows:
            raise DataError(f"the split {name} of {task.name} has no rows (source: {config.name})")
    synthetic = any(split.synthetic for split in splits.values())
    notes = [note for split in splits.values() for note in split.notes]
    if not synthetic:
        notes += _count_notes(splits, task)
    found = TaskDataset(task, splits, config.name, synthetic, notes, _display_name(task, None, synthetic))
    if not train:
        return found
    chosen, told = _limit_train_rows(made or splits["train"], config, task, target)
    if made is not None:
        generated_text.check_same_origin(
            made, synthetic, "set data.dev=embedded, folder (with data.dir=PATH) or hub to fit"
        )
        notes = [*notes, *made.notes, *told, *_overlap_notes(chosen, splits)]
        return replace(found, notes=notes, generated=chosen)
    name, splits = _display_name(task, chosen.num_rows, synthetic), splits | {"train": chosen}
    notes = [*notes, *told, *_overlap_notes(chosen, splits)]
    return replace(found, splits=splits, notes=notes, display_name=name)


def unsupported_source(task: TaskConfig, source: str) -> str | None:
    """Why a source has no rows of a task, and what to do instead; None where it has."""
    return domains.unsupported_source(task, source) or extraction.unsupported_source(task, source)


def _limit_train_rows(
    whole: Split, config: DataConfig, task: TaskConfig, target: str | None
) -> tuple[Split, list[str]]:
    """The training rows that the `data` section leaves, and notes on what it left out."""
    notes, drawn = [], f"drawn with data.subset_seed={config.subset_seed}"
    if config.max_train_rows is not None and config.max_train_rows < whole.num_rows:
        notes.append(f"trained on {config.max_train_rows} of {whole.num_rows} rows, {drawn}")
        if whole.domains() is None:
            whole = subset(whole, config.max_train_rows, config.subset_seed)
        else:
            whole = stratified.stratified_subset(whole, config.max_train_rows, config.subset_seed, "subset")
    if config.train_fraction is None or config.train_fraction == 1:
        return whole, notes
    among = np.ones(whole.num_rows, bool)
    if target is not None:
        among = whole.domains() == task.domains.index(target)
    there = int(among.sum())
    kept = max(1, round(config.train_fraction * there))
    whose = f"rows of {target}" if target else "rows"
    notes.append(f"trained on {kept} of {there} {whose} (data.train_fraction={config.train_fraction:g}), {drawn}")
    return stratified.stratified_subset(whole, kept, config.subset_seed, "fraction", among), notes


def _count_notes(splits: dict[str, Split], task: TaskConfig) -> list[str]:
    if task.folder.get("pool"):
        counts = ", ".join(f"{name} {split.num_rows}" for name, split in splits.items())
        official = ", ".join(f"{name} {task.rows[name]}" for name in splits)
        if counts == official:
            return []
        return [f"rows: {counts}; published ones ({official}) count repeated texts, so scores compare roughly"]
    notes = []
    for name, split in splits.items():
        official = task.rows.get(name)
        if official is None or official == split.num_rows:
            continue
        what = "a part of the task" if name == "train" else "scores do not compare with published ones"
        notes.append(f"{name} ({split.origin}) has {split.num_rows} rows, officially {official}: {what}")
    return notes


def _overlap_notes(lessons: Split, splits: dict[str, Split]) -> list[str]:
    notes = []
    for name, split in splits.items():
        shared = count_overlap(lessons, split) if name != "train" else 0
        if shared:
            verb = "stand" if shared > 1 else "stands"
            notes.append(f"{shared} of {split.num_rows} {name} rows also {verb} in {lessons.name}")
    return notes


def _display_name(task: TaskConfig, rows: int | None, synthetic: bool) -> str:
    """The task with the size of an unusual training split; `rows` is None where there is none to be sized."""
    if synthetic:
        return f"{task.name} (synthetic)"
    name = str(task.folder.get("title") or task.folder.get("dir") or task.name)
    # the same rows by another protocol are another task to whoever reads a table
    by = f" by {task.folder['domain']}" if task.is_by_domain and task.folder.get("domain") else ""
    official = task.rows.get("train")
    if rows is None or official is None or abs(rows - official) < TOLERANCE * official:
        return name + by
    return (f"{name}-{rows / 1000:.0f}k" if rows >= 1000 else f"{name}-{rows}") + by
