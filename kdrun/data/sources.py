"""Where the rows of a task come from, and what every run does with them before training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from kdrun import registry
from kdrun.cache import digest
from kdrun.data import embedded, glue_folder, glue_hub
from kdrun.data.config import DataConfig, FolderDataConfig, HubDataConfig, TaskConfig
from kdrun.data.table import Split, make_split, overlap, subset
from kdrun.errors import DataError
from kdrun.registry import register

TOLERANCE = 0.01
"""A training split that differs from the official number of rows by a larger share is named by its size."""


@dataclass(frozen=True)
class TaskData:
    """The rows of a task as a run uses them.

    Attributes:
        task: the task.
        splits: the task's dev splits and `train`, by name; a data-free run has no `train`.
        source: registered name of the source, e.g. `folder`.
        synthetic: whether the rows were made by a generator; then every number says so.
        notes: what a reader of the result should know, as sentences.
        display_name: the task as results call it: `SST-2`, `QQP-9k` (a subset), `sst2 (synthetic)`.
        ood: out-of-domain rows without labels, which a data-free run trains on instead of `train`.
    """

    task: TaskConfig
    splits: dict[str, Split]
    source: str
    synthetic: bool
    notes: list[str]
    display_name: str
    ood: Split | None = None

    @property
    def train(self) -> Split:
        """The task's training rows.

        Raises:
            DataError: this is the data of a data-free run, which has none.
        """
        if "train" not in self.splits:
            raise DataError(f"this run is data-free: the training rows of {self.task.name} are out of its reach")
        return self.splits["train"]

    @property
    def lessons(self) -> Split:
        """The rows that the student learns from: out-of-domain ones in a data-free run, else the task's."""
        return self.train if self.ood is None else self.ood

    @property
    def all_splits(self) -> dict[str, Split]:
        """The task's splits and, as `ood`, the out-of-domain rows of a data-free run."""
        return self.splits if self.ood is None else self.splits | {"ood": self.ood}

    @property
    def fingerprint(self) -> str:
        """A hash of all rows of the run, 64 hex digits."""
        return digest({name: split.fingerprint for name, split in self.all_splits.items()})


def load(config: DataConfig, task: TaskConfig, *, train: bool = True) -> TaskData:
    """The rows of a task from the configured source, cut to `max_train_rows`, with notes on what is unusual.

    Args:
        config: the `data` section; its name picks the source.
        task: the task.
        train: whether to read the training rows; without, no file of theirs is opened.

    Raises:
        DataError: the source lacks something, or a split has no rows.
    """
    wanted = ["train", *task.dev_splits] if train else task.dev_splits
    splits: dict[str, Split] = registry.build("data", config.name, config, task, wanted)
    for name in wanted:
        if name not in splits or not splits[name].num_rows:
            raise DataError(f"the split {name} of {task.name} has no rows (source: {config.name})")
    synthetic = any(split.synthetic for split in splits.values())
    notes = [note for split in splits.values() for note in split.notes]
    if not synthetic:
        notes += _count_notes(splits, task)
    if not train:
        return TaskData(task, splits, config.name, synthetic, notes, _display_name(task, None, synthetic))
    whole = splits["train"]
    if config.max_train_rows is not None and config.max_train_rows < whole.num_rows:
        splits = splits | {"train": subset(whole, config.max_train_rows, config.subset_seed)}
        drawn = f"drawn with data.subset_seed={config.subset_seed}"
        notes.append(f"trained on {config.max_train_rows} of {whole.num_rows} rows, {drawn}")
    notes += _overlap_notes(splits)
    rows = splits["train"].num_rows
    return TaskData(task, splits, config.name, synthetic, notes, _display_name(task, rows, synthetic))


def _count_notes(splits: dict[str, Split], task: TaskConfig) -> list[str]:
    notes = []
    for name, split in splits.items():
        official = task.rows.get(name)
        if official is None or official == split.num_rows:
            continue
        what = "a part of the task" if name == "train" else "scores do not compare with published ones"
        notes.append(f"{name} ({split.origin}) has {split.num_rows} rows, officially {official}: {what}")
    return notes


def _overlap_notes(splits: dict[str, Split]) -> list[str]:
    notes = []
    for name, split in splits.items():
        shared = overlap(splits["train"], split) if name != "train" else 0
        if shared:
            verb = "stand" if shared > 1 else "stands"
            notes.append(f"{shared} of {split.num_rows} {name} rows also {verb} in train")
    return notes


def _display_name(task: TaskConfig, rows: int | None, synthetic: bool) -> str:
    """The task with the size of an unusual training split; `rows` is None where there is none to be sized."""
    if synthetic:
        return f"{task.name} (synthetic)"
    name = str(task.folder.get("dir") or task.name)
    official = task.rows.get("train")
    if rows is None or official is None or abs(rows - official) <= TOLERANCE * official:
        return name
    return f"{name}-{rows / 1000:.0f}k" if rows >= 1000 else f"{name}-{rows}"


@register("data", "embedded")
def embedded_source(config: DataConfig, task: TaskConfig, wanted: Sequence[str]) -> dict[str, Split]:
    """The synthetic rows that come with kdrun: the same for every seed of a run."""
    return {name: _embedded_split(task, name) for name in wanted}


def _embedded_split(task: TaskConfig, name: str) -> Split:
    rows = embedded.generate(task.name, name, seed=0)
    texts = [pa.array(rows.text, pa.string())]
    if rows.text_pair is not None:
        texts.append(pa.array(rows.text_pair, pa.string()))
    labels = pa.array(rows.label, pa.float32() if task.is_regression else pa.int32())
    return make_split(name, texts, labels, f"embedded:{task.name}/{name}", synthetic=True)


@register("data", "folder")
def folder_source(config: FolderDataConfig, task: TaskConfig, wanted: Sequence[str]) -> dict[str, Split]:
    """The rows of a folder in the GLUE layout, `data.dir`."""
    return glue_folder.read_task(config.dir, task, wanted)


@register("data", "hub")
def hub_source(config: HubDataConfig, task: TaskConfig, wanted: Sequence[str]) -> dict[str, Split]:
    """The rows of `data.repo` at the hub."""
    return glue_hub.read_task(config, task, wanted)
