"""Task section: text columns, labels, metrics, splits and domains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from kdrun.config.fields import setting

NO_ENTITY = "none"
"""The answer of an extraction task to a sentence without entities."""


HELD_OUT, POOLED = "held_out", "pooled"
"""Names of the split of held-out rows (`evaluation.held_out`), alone or after those of the task's reported split."""


class TaskKind(Enum):
    """How a row is answered.

    `classes`: one of several classes. `score`: a number in a range. `multi_label`: any number of the classes, or none.
    `text`: free text.
    """

    classes = "classes"
    score = "score"
    multi_label = "multi_label"
    text = "text"


@dataclass
class TaskConfig:
    """A task: its text and labels, and how it is scored."""

    name: str = setting(doc="short name, e.g. sst2")
    text: list[str] = setting([], "text columns at the hub and of data=files: one, or two for a pair")
    labels: list[str] = setting([], "class names in GLUE's order; empty for a regression task")
    kind: TaskKind | None = setting(
        None,
        "classes, score, multi_label (any number of the labels) or text (free text); null follows from labels, range "
        "and entities",
    )
    range: list[float] = setting([], "lowest and highest score of a regression task")
    entities: list[str] = setting([], "entity types of an extraction task; empty for other tasks")
    answer_tokens: int = setting(64, "most tokens of an answer in text, including its end", gt=1)
    metrics: list[str] = setting([], "metrics of the task")
    headline: str = setting(doc="the metric that selects checkpoints and leads the table")
    folder: dict[str, Any] = setting({}, "GLUE folder layout: dir, text and label columns, files, header")
    hub: dict[str, Any] = setting(
        {}, "data set at the hub: repo, subset, revision, label (column) and splits; empty is that of GLUE"
    )
    extra: dict[str, Any] = setting(
        {}, "splits for evaluation.extra by name: repo, subset, revision, split, label, rows, labels, merge"
    )
    rows: dict[str, int] = setting({}, "official number of rows per split")
    prompts: list[str] = setting([], "prompt of a text-to-text model before each text column")
    label_words: list[str] = setting(
        [], "answers of a text-to-text model: a word or words per label; numbers for a score"
    )
    domains: list[str] = setting([], "names of the domains of its rows; empty for most tasks")
    reported: str | None = setting(None, "the split that results are reported on; null is the first dev split")
    by_domain: dict[str, Any] = setting(
        {}, "rows, files and reported split of its protocol by domain, where it also has a plain one"
    )
    label: Any = setting(None, "label column of data=files, or several columns of 0 and 1 for label sets")
    title: str | None = setting(None, "name in results; null is that of the data, e.g. of the file of data=files")

    @property
    def is_regression(self) -> bool:
        """Whether the task predicts a score instead of a class."""
        return not self.labels and not self.is_text

    @property
    def is_multi_label(self) -> bool:
        """Whether a row has any number of the classes instead of exactly one."""
        return self.kind is TaskKind.multi_label

    @property
    def is_extraction(self) -> bool:
        """Whether the answer is a text that names entities, instead of a class or a score."""
        return bool(self.entities)

    @property
    def is_free_text(self) -> bool:
        """Whether the answer is free text."""
        return self.kind is TaskKind.text

    @property
    def is_text(self) -> bool:
        """Whether the answer is a text, free or naming entities, instead of a class or a score."""
        return self.is_extraction or self.is_free_text

    @property
    def classes(self) -> list[str]:
        """Classes of the answers: the labels; for an extraction task the first word of an answer, an entity type or
        `none` [ours]; none for a score or free text.
        """
        return [*self.entities, NO_ENTITY] if self.entities else list(self.labels)

    @property
    def has_one_class(self) -> bool:
        """Whether a row has exactly one of the classes."""
        return bool(self.classes) and not self.is_multi_label

    @property
    def num_outputs(self) -> int:
        """Width of a model's head: the number of classes, or 1 for a score."""
        return len(self.labels) or 1

    @property
    def dev_splits(self) -> list[str]:
        """The splits that are evaluated; the first one chooses checkpoints."""
        return [name for name in self.rows if name != "train"]

    @property
    def report_split(self) -> str:
        """The split that results are reported on."""
        return self.held_out_split or self.task_report_split

    @property
    def task_report_split(self) -> str:
        """The split that results are reported on without held-out rows."""
        return self.reported or self.dev_splits[0]

    @property
    def held_out_split(self) -> str | None:
        """The split with the held-out rows; None without such rows."""
        return next((name for name in (HELD_OUT, POOLED) if name in self.rows), None)

    def with_split(self, name: str, rows: int) -> TaskConfig:
        """The task with a further split to evaluate."""
        return replace(self, rows={**self.rows, name: rows})

    def without_held_out(self) -> TaskConfig:
        """The task as its source knows it, without the split of held-out rows."""
        return replace(self, rows={key: rows for key, rows in self.rows.items() if key not in (HELD_OUT, POOLED)})

    @property
    def eval_splits_during_training(self) -> list[str]:
        """The splits that are evaluated during training; not the reported split, unless it also chooses checkpoints."""
        chooses, unseen = self.dev_splits[0], (self.report_split, self.task_report_split)
        return [name for name in self.dev_splits if name == chooses or name not in unseen]

    @property
    def is_by_domain(self) -> bool:
        """Whether its rows say their domain: always, or once `kdrun.config.domains.by_domain_task` has been applied."""
        return bool(self.domains) and not self.by_domain
