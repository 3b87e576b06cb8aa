"""Data, corpus, out-of-domain and generated-text sections."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import Enum

from kdrun.config.fields import MISSING, setting


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


class DevSource(Enum):
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
    dev: DevSource | None = setting(
        None, "where the task's own rows come from; null is folder where data.dir is given, else embedded"
    )
    dir: str | None = setting(None, "the folder that holds SST-2/dev.tsv and so on")

    @property
    def task_rows(self) -> DataConfig:
        """The section of the task's own rows."""
        shared = {item.name: getattr(self, item.name) for item in fields(DataConfig) if item.name != "name"}
        dev = self.dev or (DevSource.folder if self.dir else DevSource.embedded)
        if dev is DevSource.folder:
            return FolderDataConfig(name=dev.value, dir=self.dir or MISSING, **shared)
        if dev is DevSource.hub:
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


@dataclass
class GeneratedConfig:
    """The text that a run leaves behind for other runs: `generated/train.jsonl`, made at its end."""

    rows: int | None = setting(
        None,
        "how many rows; null is as many as a data-free method learns from, at most 10000, and none for other methods",
        ge=0,
    )
