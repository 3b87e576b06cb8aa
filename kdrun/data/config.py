"""The sections of a run's configuration that say where its rows come from: task, source, corpus, out-of-domain text."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from kdrun.entities import NONE
from kdrun.settings import MISSING, setting


@dataclass
class TaskConfig:
    """A task of the table: where its text and labels are, and how it is scored."""

    name: str = setting(doc="short name, e.g. sst2")
    text: list[str] = setting([], "text columns at the hub: one, or two for a pair")
    labels: list[str] = setting([], "class names in GLUE's order; empty for a regression task")
    range: list[float] = setting([], "lowest and highest score of a regression task")
    entities: list[str] = setting([], "types of the entities that an extraction task writes out; empty for others")
    answer_tokens: int = setting(64, "most tokens of an answer of an extraction task, its end included", gt=1)
    metrics: list[str] = setting([], "what the task is scored by")
    headline: str = setting(doc="the metric that selects checkpoints and leads the table")
    folder: dict[str, Any] = setting({}, "GLUE folder layout: dir, text and label columns, files, header")
    rows: dict[str, int] = setting({}, "official number of rows per split")
    prompts: list[str] = setting([], "what a text-to-text model reads before each text column")
    label_words: list[str] = setting([], "what it answers: a word or words per label; numbers for a score")
    domains: list[str] = setting([], "names of the domains that its rows come from; empty for most tasks")
    reported: str | None = setting(None, "the split that results are about; null is the first dev split")
    by_domain: dict[str, Any] = setting(
        {}, "rows, files and reported split of its protocol by domain, where it has a plain one too"
    )

    @property
    def is_regression(self) -> bool:
        """Whether the task predicts a score instead of a class."""
        return not self.labels and not self.entities

    @property
    def is_extraction(self) -> bool:
        """Whether the answer is a text that names entities, instead of a class or a score."""
        return bool(self.entities)

    @property
    def classes(self) -> list[str]:
        """What answers are told apart by: the labels; of an extraction task the word that an answer begins with, a type
        of entities or `none` [ours]; nothing for a score.
        """
        return [*self.entities, NONE] if self.entities else list(self.labels)

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
        """The split that results are about."""
        return self.reported or self.dev_splits[0]

    @property
    def watched_splits(self) -> list[str]:
        """The splits that are scored while training: not one that is kept back for the report."""
        chooses = self.dev_splits[0]
        return [name for name in self.dev_splits if name == chooses or name != self.report_split]

    @property
    def is_by_domain(self) -> bool:
        """Whether its rows say their domain: always, or once `kdrun.data.domains.protocol` has made it so."""
        return bool(self.domains) and not self.by_domain


@dataclass
class DataConfig:
    """Where the task's rows come from."""

    name: str = setting(doc="registered source: embedded, folder, hub or generated")
    max_length: int = setting(128, "tokens per example, special tokens included", gt=2)
    max_train_rows: int | None = setting(None, "train on a seeded subset of so many rows", gt=0)
    train_fraction: float | None = setting(
        None, "share of the training rows of the target domain (of all rows where the run has none)", gt=0, le=1
    )
    subset_seed: int = setting(1, "which rows; apart from the run's seed, so that a sweep over seeds shares them", ge=0)

    @property
    def task_rows(self) -> DataConfig:
        """The section of the task's own rows: this one, unless other rows take the place of the training rows."""
        return self


@dataclass
class FolderDataConfig(DataConfig):
    """Rows from a folder in the GLUE layout."""

    dir: str = setting(doc="the folder that holds SST-2/train.tsv and so on")


@dataclass
class HubDataConfig(DataConfig):
    """Rows from the hub, through `datasets`."""

    repo: str = setting("nyu-mll/glue", "name of the data set at the hub")
    revision: str | None = setting(None, "commit or tag of that data set")


class TaskRows(Enum):
    """Where a run on generated text has the task's own rows from: those it is scored on."""

    embedded = "embedded"
    folder = "folder"
    hub = "hub"


@dataclass
class GeneratedDataConfig(HubDataConfig):
    """Training rows that another run generated; of the task's own rows the student sees none.

    The keys of a folder and of the hub are those of the task's own rows, which the student is scored on, and which a
    teacher that has no head yet is fine-tuned on.
    """

    path: str = setting(doc="a train.jsonl of generated text, the generated/ folder that holds it, or its run's folder")
    dev: TaskRows | None = setting(
        None, "where the task's own rows come from; null is folder where data.dir is given, else embedded"
    )
    dir: str | None = setting(None, "the folder that holds SST-2/dev.tsv and so on")

    @property
    def task_rows(self) -> DataConfig:
        """The section of the task's own rows."""
        shared = {item.name: getattr(self, item.name) for item in fields(DataConfig) if item.name != "name"}
        dev = self.dev or (TaskRows.folder if self.dir else TaskRows.embedded)
        if dev is TaskRows.folder:
            return FolderDataConfig(name=dev.value, dir=self.dir or MISSING, **shared)
        if dev is TaskRows.hub:
            return HubDataConfig(name=dev.value, repo=self.repo, revision=self.revision, **shared)
        return DataConfig(name=dev.value, **shared)


@dataclass
class CorpusConfig:
    """General text, for vocabularies and pretraining; never task text."""

    name: str = setting("embedded", "registered corpus: embedded, folder or hub")
    max_lines: int | None = setting(None, "read no more lines than this", gt=0)


@dataclass
class FolderCorpusConfig(CorpusConfig):
    """Text files of a folder, one sentence or paragraph a line."""

    dir: str = setting(doc="a folder of .txt or .tokens files, or one such file")


@dataclass
class HubCorpusConfig(CorpusConfig):
    """A text data set from the hub, through `datasets`."""

    repo: str = setting(doc="name of the data set at the hub")
    subset: str = setting(doc="which of its configurations")
    split: str = setting("train", "which of its splits")
    column: str = setting("text", "the column that holds the text")
    revision: str | None = setting(None, "commit or tag of that data set")


@dataclass
class OODConfig:
    """Out-of-domain text in the task's format, made of the corpus: the training rows of data-free distillation."""

    path: str | None = setting(
        None,
        "generated text in the place of the corpus's: a train.jsonl, the folder that holds it, or its run's folder",
    )
    rows: int | None = setting(None, "how many rows; wins over the ratio; of generated text all, or at most this", gt=0)
    ratio: float = setting(4.0, "rows as a multiple of the task's official number of training rows", gt=0)
    min_words: int = setting(4, "drop sentences of fewer words", gt=0)
    keep_unknown: bool = setting(False, "keep sentences with <unk>, the mark of a rare word in WikiText")
    edit: float = setting(1.0, "pairs of a sentence and a copy with replaced words: their share, as a weight", ge=0)
    neighbour: float = setting(1.0, "pairs of two sentences that follow each other: their share, as a weight", ge=0)
    random: float = setting(1.0, "pairs of two random sentences: their share, as a weight", ge=0)
    edit_words: int = setting(3, "words replaced in the copy", gt=0)
    frequent_words: int = setting(
        10000, "replacements are drawn from so many of the corpus's most frequent words", gt=1
    )
    questions: bool = setting(True, "give texts of the task's question columns the form of a question")
    seed: int = setting(1, "which rows; apart from the run's seed, so that a sweep over seeds shares them", ge=0)
