"""Where the rows of a task come from, and what every run does with them before training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from kdrun import registry
from kdrun.cache import digest
from kdrun.data import (
    conll_folder,
    domain_folder,
    domains,
    embedded,
    extraction,
    generated,
    glue_folder,
    glue_hub,
    strata,
)
from kdrun.data.config import DataConfig, FolderDataConfig, GeneratedDataConfig, HubDataConfig, TaskConfig
from kdrun.data.generated import GeneratedSplit
from kdrun.data.table import Split, make_split, overlap, subset
from kdrun.errors import DataError, nearest
from kdrun.registry import register

TOLERANCE = 0.02
"""A training split that differs from the official number of rows by this share or more is named by its size."""


@dataclass(frozen=True)
class TaskData:
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
    whole: TaskData | None = None

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
    def lessons(self) -> Split:
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
        return digest(own if self.whole is None else own | {"whole": self.whole.fingerprint})

    def rows_by_domain(self, split: str) -> dict[str, int]:
        """How many rows of each domain a split has, in the task's order; empty where rows do not say theirs."""
        ids = self.all_splits[split].domains()
        if ids is None:
            return {}
        counts = np.bincount(ids, minlength=len(self.task.domains))
        return dict(zip(self.task.domains, counts.tolist(), strict=True))

    def of_domain(self, name: str) -> TaskData:
        """The rows of one domain in every split; out-of-domain text stays as it is.

        Raises:
            DataError: the task's rows say no domain, it has no such domain, or a split has no row of it.
        """
        return replace(self._where(name, same=True), whole=self)

    def without_domain(self, name: str) -> TaskData:
        """The rows of all domains but one in every split.

        Raises:
            DataError: as `of_domain`; or a split has no rows left.
        """
        return self._where(name, same=False)

    def _where(self, name: str, *, same: bool) -> TaskData:
        known = self.task.domains
        if any(split.domains() is None for split in self.splits.values()):
            raise DataError(f"the rows of {self.display_name} do not say their domain, so none are of {name}")
        if name not in known:
            raise DataError(f"{self.task.name} has no domain {name}{nearest(name, known)} ({', '.join(known)})")
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


def load(
    config: DataConfig, task: TaskConfig, *, train: bool = True, by_domain: bool = False, target: str | None = None
) -> TaskData:
    """The rows of a task from the configured source, with notes on what is unusual.

    The training rows are cut to `max_train_rows` and then, of the target domain or of all, to `train_fraction`; so are
    generated ones in their place.

    Args:
        config: the `data` section; its name picks the source.
        task: the task.
        train: whether to read the training rows; without, no file of theirs is opened, except by a task whose dev
            split is drawn from them.
        by_domain: take the task by domain, where it has another protocol too (`kdrun.data.domains`).
        target: the domain that `train_fraction` thins out; None is all rows.

    Raises:
        DataError: the source lacks something, a split has no rows, or the task has no domains where they are asked for.
    """
    task = domains.protocol(task) if by_domain else task
    if by_domain and not task.is_by_domain:
        raise DataError(f"{task.name} has no domains; those that have name them in task.domains")
    refused = refusal(task, config.task_rows.name)
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
    found = TaskData(task, splits, config.name, synthetic, notes, _display_name(task, None, synthetic))
    if not train:
        return found
    chosen, told = _cut(made or splits["train"], config, task, target)
    if made is not None:
        generated.must_be_alike(made, synthetic, "set data.dev=embedded, folder (with data.dir=PATH) or hub to fit")
        notes = [*notes, *made.notes, *told, *_overlap_notes(chosen, splits)]
        return replace(found, notes=notes, generated=chosen)
    name, splits = _display_name(task, chosen.num_rows, synthetic), splits | {"train": chosen}
    notes = [*notes, *told, *_overlap_notes(chosen, splits)]
    return replace(found, splits=splits, notes=notes, display_name=name)


def refusal(task: TaskConfig, source: str) -> str | None:
    """Why a source has no rows of a task, and what to do instead; None where it has."""
    return domains.refusal(task, source) or extraction.refusal(task, source)


def _cut(whole: Split, config: DataConfig, task: TaskConfig, target: str | None) -> tuple[Split, list[str]]:
    """The training rows that the `data` section leaves, and notes on what it left out."""
    notes, drawn = [], f"drawn with data.subset_seed={config.subset_seed}"
    if config.max_train_rows is not None and config.max_train_rows < whole.num_rows:
        notes.append(f"trained on {config.max_train_rows} of {whole.num_rows} rows, {drawn}")
        if whole.domains() is None:
            whole = subset(whole, config.max_train_rows, config.subset_seed)
        else:
            whole = strata.share(whole, config.max_train_rows, config.subset_seed, "subset")
    if config.train_fraction is None or config.train_fraction == 1:
        return whole, notes
    among = np.ones(whole.num_rows, bool)
    if target is not None:
        among = whole.domains() == task.domains.index(target)
    there = int(among.sum())
    kept = max(1, round(config.train_fraction * there))
    whose = f"rows of {target}" if target else "rows"
    notes.append(f"trained on {kept} of {there} {whose} (data.train_fraction={config.train_fraction:g}), {drawn}")
    return strata.share(whole, kept, config.subset_seed, "fraction", among), notes


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
        shared = overlap(lessons, split) if name != "train" else 0
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


@register("data", "embedded")
def embedded_source(config: DataConfig, task: TaskConfig, wanted: Sequence[str]) -> dict[str, Split]:
    """The synthetic rows that come with kdrun: the same for every seed of a run."""
    return {name: _embedded_split(task, name) for name in wanted}


def _embedded_split(task: TaskConfig, name: str) -> Split:
    rows = embedded.generate(task.name, name, seed=0)
    texts = [pa.array(rows.text, pa.string())]
    if rows.text_pair is not None:
        texts.append(pa.array(rows.text_pair, pa.string()))
    if rows.answer is None:
        labels = pa.array(rows.label, pa.float32() if task.is_regression else pa.int32())
    else:
        labels = pa.array(rows.answer, pa.string())
    origin = f"embedded:{task.name}/{name}"
    if rows.domain is None:
        return make_split(name, texts, labels, origin, synthetic=True)
    made = embedded.DOMAINS[task.name]
    if tuple(task.domains) != made:
        raise DataError(f"{origin} has the domains {', '.join(made)}; task.domains says {', '.join(task.domains)}")
    ids = pa.array([made.index(domain) for domain in rows.domain], pa.int32())
    return make_split(name, texts, labels, origin, synthetic=True, domains=ids)


@register("data", "folder")
def folder_source(config: FolderDataConfig, task: TaskConfig, wanted: Sequence[str]) -> dict[str, Split]:
    """The rows of a folder, `data.dir`, in the GLUE layout, with a folder a domain, or in the CoNLL layout."""
    if task.is_extraction:
        return conll_folder.read_task(config.dir, task, wanted)
    if task.is_by_domain:
        return domain_folder.read_task(config.dir, task, wanted)
    return glue_folder.read_task(config.dir, task, wanted)


@register("data", "hub")
def hub_source(config: HubDataConfig, task: TaskConfig, wanted: Sequence[str]) -> dict[str, Split]:
    """The rows of `data.repo` at the hub."""
    return glue_hub.read_task(config, task, wanted)


@register("data", "generated")
def generated_source(config: GeneratedDataConfig, task: TaskConfig, wanted: Sequence[str]) -> dict[str, Split]:
    """The task's own dev rows from `data.dev` and, where `train` is wanted, the rows of `data.path` as `generated`."""
    own, dev = config.task_rows, [name for name in wanted if name != "train"]
    splits: dict[str, Split] = registry.build("data", own.name, own, task, dev)
    return splits | {"generated": generated.read(config.path, task)} if "train" in wanted else splits
