"""Rows of a task, loaded from the configured source."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kdrun import registry
from kdrun.config import domains
from kdrun.config.data import REST, DataConfig
from kdrun.config.evaluation import AGREEMENT_ROWS
from kdrun.config.task import POOLED, TaskConfig
from kdrun.config.validation import extraction
from kdrun.data import held_out, row_choice
from kdrun.data.row_choice import SAME_ROWS, RowChoice
from kdrun.data.sources import generated_text
from kdrun.data.sources.generated_text import GeneratedSplit
from kdrun.data.splits import UNLABELED, Split, count_overlap, mix_unlabeled
from kdrun.errors import DataError, did_you_mean
from kdrun.formatting import plural
from kdrun.storage.hashing import digest

TOLERANCE = 0.02
"""Relative difference from the official number of rows at which the display name includes the size."""


@dataclass(frozen=True)
class TaskDataset:
    """The rows of a task as a run uses them.

    Attributes:
        task: the task; after `by_domain_task` if its rows were read by domain.
        splits: the task's dev splits and `train`, by name; a data-free run has no `train`.
        source: registered name of the source, e.g. `folder`.
        synthetic: whether a grammar wrote the rows; results are then marked as synthetic.
        notes: remarks for readers of the result, as sentences.
        display_name: the task's name in results: `SST-2`, `QQP-9k` (a subset), `sst2 (synthetic)`.
        ood: out-of-domain rows without labels: the training rows of a data-free method.
        generated: generated rows with labels of the teacher that scored them: the training rows of any other method.
        unlabeled: rows without labels that the student trains on besides `train`.
        mixed: the rows of `train` and then those of `unlabeled`, whose labels are missing.
        all_domains: the rows of all domains, if this object holds those of one domain.
        teacher_train: training rows that a teacher is fine-tuned on, if not those of `train`.
        agreement: rows without labels on which only the student's agreement with its teacher is measured.
        warnings: faults of the training rows that do not stop a run, as sentences.
    """

    task: TaskConfig
    splits: dict[str, Split]
    source: str
    synthetic: bool
    notes: list[str]
    display_name: str
    ood: Split | None = None
    generated: Split | None = None
    unlabeled: Split | None = None
    mixed: Split | None = None
    all_domains: TaskDataset | None = None
    teacher_train: Split | None = None
    agreement: Split | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def train(self) -> Split:
        """The task's training rows.

        Raises:
            DataError: the run is data-free, so it has none.
        """
        if "train" not in self.splits:
            raise DataError(f"this run is data-free: the training rows of {self.task.name} are out of its reach")
        return self.splits["train"]

    @property
    def student_rows(self) -> Split:
        """The student's training rows: the task's, and unlabeled ones; or out-of-domain or generated text instead."""
        return self.ood or self.generated or self.mixed or self.train

    @property
    def all_splits(self) -> dict[str, Split]:
        """The task's splits, rows that replace `train` as `ood` or `generated`, and unlabeled rows."""
        others = {"ood": self.ood, "generated": self.generated, UNLABELED: self.unlabeled}
        return self.splits | {name: split for name, split in others.items() if split is not None}

    @property
    def row_counts(self) -> dict[str, int]:
        """The number of rows by split, with those on which only agreement is measured."""
        splits = self.all_splits | ({} if self.agreement is None else {AGREEMENT_ROWS: self.agreement})
        return {name: split.num_rows for name, split in splits.items()}

    @property
    def card(self) -> dict[str, Any] | None:
        """The card of the generated text that the student trains on; None without such text or card."""
        other = self.ood or self.generated
        return other.card if isinstance(other, GeneratedSplit) else None

    @property
    def fingerprint(self) -> str:
        """A hash of all rows of the run, 64 hex digits; includes other domains, which its teacher may read."""
        hashes = {name: split.fingerprint for name, split in self.all_splits.items()}
        if self.teacher_train is not None:
            hashes["teacher"] = self.teacher_train.fingerprint
        if self.agreement is not None:
            hashes[AGREEMENT_ROWS] = self.agreement.fingerprint
        return digest(hashes if self.all_domains is None else hashes | {"whole": self.all_domains.fingerprint})

    @property
    def reported_rows(self) -> str | None:
        """The rows that are reported, for people; None without held-out rows, where the split's name says it."""
        name, own = self.task.held_out_split, self.task.task_report_split
        if name is None:
            return None
        return held_out.describe(self.splits[name], self.splits[own].num_rows if name == POOLED else 0, own)

    @property
    def agreement_text(self) -> str | None:
        """The rows on which only agreement is measured, for people; None without such rows."""
        return None if self.agreement is None else held_out.describe_unlabeled(self.agreement)

    @property
    def for_teacher(self) -> TaskDataset:
        """The rows for the fine-tuning of a teacher, which learns from labels only."""
        if self.teacher_train is None:
            return self
        splits = {**self.splits, "train": self.teacher_train}
        return replace(self, splits=splits, unlabeled=None, mixed=None, teacher_train=None)

    def rows_by_domain(self, split: str) -> dict[str, int]:
        """Number of rows per domain in a split, in the task's order; empty if rows have no domain."""
        ids = self.all_splits[split].domains()
        if ids is None:
            return {}
        counts = np.bincount(ids, minlength=len(self.task.domains))
        return dict(zip(self.task.domains, counts.tolist(), strict=True))

    def only_domain(self, name: str) -> TaskDataset:
        """The rows of one domain in every split; out-of-domain text is unchanged.

        Raises:
            DataError: rows have no domain, the task has no such domain, or a split has no row of it.
        """
        return replace(self._select_domain(name, same=True), all_domains=self)

    def without_domain(self, name: str) -> TaskDataset:
        """The rows of all domains but one in every split.

        Raises:
            DataError: as for `only_domain`; or a split has no other rows.
        """
        return self._select_domain(name, same=False)

    def _select_domain(self, name: str, *, same: bool) -> TaskDataset:
        names = self.task.domains
        if any(split.domains() is None for split in self.splits.values()):
            raise DataError(f"the rows of {self.display_name} have no domain, so none belong to {name}")
        if name not in names:
            raise DataError(f"{self.task.name} has no domain {name}{did_you_mean(name, names)} ({', '.join(names)})")
        splits = {}
        for key, split in self.splits.items():
            ids = split.domains()
            splits[key] = split.select(np.flatnonzero((ids == names.index(name)) == same))
            if not splits[key].num_rows:
                which = name if same else f"a domain other than {name}"
                raise DataError(f"{key} of {self.display_name} has no row of {which} among {split.num_rows} rows")
        title, bracket, rest = self.display_name.partition(" (")
        part = f"{title}/{name}" if same else f"{title} but {name}"
        return replace(self, splits=splits, display_name=f"{part}{bracket}{rest}")


def load_dataset(
    config: DataConfig,
    task: TaskConfig,
    *,
    train: bool = True,
    target: str | None = None,
    choice: RowChoice = SAME_ROWS,
) -> TaskDataset:
    """The rows of a task from the configured source, with notes on anything unusual.

    The training rows, or the generated rows that replace them, are reduced to `max_train_rows`, and then all of them or
    those of the target domain to `train_fraction`. Held-out rows are removed before.

    Args:
        config: the `data` section; its name selects the source.
        task: the task.
        train: whether to read the training rows. If not, none of their files is opened, except for a task whose dev
            split or held-out rows are drawn from them.
        target: the domain that `train_fraction` applies to; None is all rows.
        choice: held-out rows, and rows of the teacher.

    Raises:
        DataError: the source lacks rows, columns or files, or a split has no rows.
    """
    problem = unsupported_source(task, config.task_section.name)
    if problem:
        raise DataError(problem)
    source_task = task.without_held_out()
    names = ["train", *source_task.dev_splits] if train else source_task.dev_splits
    splits: dict[str, Split] = registry.build("data", config.name, config, source_task, names)
    generated, unlabeled = splits.pop("generated", None), splits.pop(UNLABELED, None)
    row_choice.check_splits(splits, names if generated is None else source_task.dev_splits, task, config.name)
    synthetic = any(split.synthetic for split in splits.values())
    notes = [note for split in splits.values() for note in split.notes]
    if not synthetic:
        notes += _count_notes(splits, source_task)
    drawn = row_choice.draw_evaluation_rows(splits, config, task, choice)
    splits, notes = drawn.splits, [*notes, *drawn.notes]
    name = _display_name(task, None, synthetic)
    data = TaskDataset(task, splits, config.name, synthetic, notes, name, agreement=drawn.agreement)
    if not train:
        return data
    if generated is None:
        return _with_train_rows(data, unlabeled, config, target, choice)
    rows, limit_notes = row_choice.limit_train_rows(generated, config, task, target)
    generated_text.check_same_origin(
        generated, synthetic, "set data.dev=embedded, folder (with data.dir=PATH) or hub to match"
    )
    notes = [*notes, *generated.notes, *limit_notes, *_overlap_notes(rows, splits)]
    return replace(data, notes=notes, generated=rows)


def _with_train_rows(
    data: TaskDataset, unlabeled: Split | None, config: DataConfig, target: str | None, choice: RowChoice
) -> TaskDataset:
    """The rows of a run on the task's own training rows, of which `data` still has all."""
    task, all_rows = data.task, data.train
    rows, limit_notes = row_choice.limit_train_rows(all_rows, config, task, target)
    splits = {**data.splits, "train": rows}
    notes = [*data.notes, *limit_notes, *_overlap_notes(rows, splits)]
    teacher_train = row_choice.teacher_rows(all_rows, rows, config, choice)
    if teacher_train is not None:
        counts = f"{teacher_train.num_rows} of {all_rows.num_rows} rows"
        notes.append(f"the teacher is fine-tuned on {counts} (teacher.train_rows={choice.teacher_rows})")
    name = _display_name(task, rows.num_rows, data.synthetic)
    data = replace(data, splits=splits, notes=notes, display_name=name, teacher_train=teacher_train)
    if config.unlabelled == REST:
        unlabeled = row_choice.remaining_rows(all_rows, rows, config)
    elif unlabeled is not None:
        evaluated = [splits[task.held_out_split]] if task.held_out_split is not None else []
        for split in [*evaluated, *([] if data.agreement is None else [data.agreement])]:
            unlabeled = held_out.without_shared_text(unlabeled, split)
    if unlabeled is None:
        return data
    notes = [*notes, *unlabeled.notes, f"{plural(unlabeled.num_rows, 'unlabeled row')}, which only the teacher labels"]
    return replace(data, notes=notes, unlabeled=unlabeled, mixed=mix_unlabeled(rows, unlabeled))


def unsupported_source(task: TaskConfig, source: str) -> str | None:
    """Why a data source lacks rows of a task, with a remedy; None if it has them."""
    return domains.unsupported_source(task, source) or extraction.unsupported_source(task, source)


def _count_notes(splits: dict[str, Split], task: TaskConfig) -> list[str]:
    if task.folder.get("pool"):
        counts = ", ".join(f"{name} {split.num_rows}" for name, split in splits.items())
        official = ", ".join(f"{name} {task.rows[name]}" for name in splits)
        if counts == official:
            return []
        return [f"rows: {counts}; published sizes ({official}) count repeated texts, so scores compare roughly"]
    notes = []
    for name, split in splits.items():
        official = task.rows.get(name)
        if official is None or official == split.num_rows:
            continue
        effect = "a part of the task" if name == "train" else "scores do not compare with published ones"
        notes.append(f"{name} ({split.origin}) has {split.num_rows} rows, officially {official}: {effect}")
    return notes


def _overlap_notes(rows: Split, splits: dict[str, Split]) -> list[str]:
    notes = []
    for name, split in splits.items():
        shared = count_overlap(rows, split) if name not in ("train", POOLED) else 0
        if shared:
            verb = "appear" if shared > 1 else "appears"
            notes.append(f"{shared} of {split.num_rows} {name} rows also {verb} in {rows.name}")
    return notes


def _display_name(task: TaskConfig, rows: int | None, synthetic: bool) -> str:
    """The task's name, with the size of an unusual training split; `rows` is None without one."""
    if synthetic:
        return f"{task.name} (synthetic)"
    name = str(task.title or task.folder.get("title") or task.folder.get("dir") or task.name)
    # the same rows by another protocol are another task in tables
    by = f" by {task.folder['domain']}" if task.is_by_domain and task.folder.get("domain") else ""
    official = task.rows.get("train")
    if rows is None or official is None or abs(rows - official) < TOLERANCE * official:
        return name + by
    return (f"{name}-{rows / 1000:.0f}k" if rows >= 1000 else f"{name}-{rows}") + by
