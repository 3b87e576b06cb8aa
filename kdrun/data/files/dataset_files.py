"""Read the files of `data=files` and complete their task."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kdrun.config.data import REST, FilesDataConfig
from kdrun.config.task import TaskConfig
from kdrun.data import disk_table, hub_datasets
from kdrun.data.files.columns import Columns, choose_columns
from kdrun.data.files.drawn_splits import draw_splits
from kdrun.data.files.open_file import (
    SPLITS,
    check_exists,
    is_saved_folder,
    open_file,
    open_splits,
    open_texts,
    tables_of,
)
from kdrun.data.files.rows import FileRows, labeled_split, read_rows
from kdrun.data.files.table_file import TableFile
from kdrun.data.files.task_facts import answer_notes, with_answers, with_defaults
from kdrun.data.splits import UNLABELED, Split, distinct_texts, pc, subset, text_keys, trimmed_split
from kdrun.errors import ConfigError, DataError, did_you_mean
from kdrun.formatting import plural
from kdrun.storage.hashing import digest
from kdrun.storage.serialization import to_plain

DEV_NAMES = ("validation", "dev", "valid", "val")
"""Names of the dev split in a data set with several splits."""
ALTERNATIVE = "data.train=FILE (a file of your own)"
MAX_PROBLEMS = 5


@dataclass(frozen=True)
class OwnData:
    """The rows of files, and their task.

    Attributes:
        task: the task with everything that its rows tell.
        splits: train, dev, test and unlabelled, as far as the run has them.
    """

    task: TaskConfig
    splits: dict[str, Split]


_loaded: dict[str, OwnData] = {}
"""The rows that this process read last, by settings and state of the files; once under the task before it was filled in
and once after."""


def load_own_data(config: FilesDataConfig, task: TaskConfig) -> OwnData:
    """Read all files of a run, or return them if this process has just read them.

    Raises:
        ConfigError: settings, files or rows have problems; those of all files together.
        DataError: the training file has problems.
    """
    key = _key(config, task)
    if key not in _loaded:
        data = _Reader(config, task).read()
        _loaded.clear()  # rows of one run at a time
        _loaded[key] = _loaded[_key(config, data.task)] = data
        disk_table.release_memory()
    return _loaded[key]


def _key(config: FilesDataConfig, task: TaskConfig) -> str:
    """Hash of the settings, and of size and time of change of each file."""
    names = (config.train, config.dev, config.test, config.unlabelled)
    paths = [Path(name).expanduser() for name in names if isinstance(name, str)]
    files = [file for path in paths for file in (sorted(path.rglob("*")) if is_saved_folder(path) else [path])]
    states = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
    return digest(to_plain([config, task, states, str(Path.cwd())]))


class _Reader:
    """Reads the files of one run."""

    def __init__(self, config: FilesDataConfig, task: TaskConfig) -> None:
        self.config, self.task, self.problems = config, task, list[str]()
        self.sets: dict[str, TableFile] | None = None

    def read(self) -> OwnData:
        """Read every file; problems of one file do not hide those of another."""
        self._check_settings()
        self._check_paths()
        self._raise_problems()
        train_file = self._open_train()
        label = _as_list(self.task.label)
        columns = choose_columns(train_file, self.task.text, label, is_free_text=self.task.is_free_text)
        train = read_rows(train_file, columns)
        parts = {name: self._part(name, columns) for name in ("dev", "test")}
        self._raise_problems()
        files = {name: part for name, part in parts.items() if isinstance(part, FileRows)}
        fractions = {name: part for name, part in parts.items() if isinstance(part, float)}
        task, notes = with_answers(self.task, train, list(files.values()))
        splits = {name: self._split(name, rows, task) for name, rows in {"train": train, **files}.items()}
        self._raise_problems()
        labeled = {name: split for name, split in splits.items() if split is not None}
        if fractions:
            # test first, so that the same rows are test rows for any dev rows
            shares = {name: fractions[name] for name in ("test", "dev") if name in fractions}
            labeled |= draw_splits(labeled["train"], shares, self.config.subset_seed)
        labeled = {name: labeled[name] for name in ("train", "dev", "test") if name in labeled}
        task = with_defaults(task, columns, labeled, self._title())
        facts = answer_notes(task, labeled, columns, train_file.origin)
        first = labeled["train"]
        labeled["train"] = dataclasses.replace(first, notes=(*facts, *notes, *first.notes))
        if self.config.unlabelled not in (None, REST):
            labeled[UNLABELED] = self._unlabeled(columns, labeled)
        return OwnData(task, labeled)

    def _check_settings(self) -> None:
        config, task = self.config, self.task
        if task.entities or task.domains:
            why = "is answered with text" if task.entities else "has domains"
            raise DataError(f"data=files reads rows with labels, and task={task.name} {why}; use data=folder")
        for name in ("dev", "test"):
            value = getattr(config, name)
            if isinstance(value, bool) or (isinstance(value, int | float) and not 0 < value < 1):
                self.problems.append(
                    f"data.{name}={value}: give a file, or a fraction between 0 and 1 such as data.{name}=0.1"
                )
            elif value is not None and not isinstance(value, int | float | str):
                self.problems.append(f"data.{name}={value}: give one file, or a fraction such as data.{name}=0.1")
        if config.train is None and config.repo is None:
            self.problems.append(
                "data.train=FILE is required: the labeled rows to train on (.csv, .tsv, .jsonl, .parquet)"
            )
        if config.repo is None and (config.subset is not None or config.revision is not None):
            self.problems.append("data.subset and data.revision belong to data.repo=OWNER/NAME, which is not set")

    def _check_paths(self) -> None:
        """Record files that do not exist; dev and test may also name a split of a data set."""
        config = self.config
        paths = {"unlabelled": None if config.unlabelled == REST else config.unlabelled}
        if config.repo is None:
            is_one_file = config.train is None or not (Path(config.train).expanduser() / SPLITS).is_file()
            paths |= {"train": config.train, **({"dev": config.dev, "test": config.test} if is_one_file else {})}
        for name, path in paths.items():
            if isinstance(path, str):
                try:
                    check_exists(Path(path).expanduser(), f"data.{name}")
                except DataError as error:
                    self.problems.append(_indented(error))

    def _raise_problems(self) -> None:
        if self.problems:
            raise ConfigError(self.problems)

    def _open_train(self) -> TableFile:
        """The training file; of a data set with several splits also the others."""
        config = self.config
        if config.repo is not None:
            tables = hub_datasets.load_hub_dataset(config.repo, config.subset, config.revision, ALTERNATIVE)
            self.sets = tables_of(tables, config.repo)
        elif config.train is not None:
            path = Path(config.train).expanduser()
            self.sets = open_splits(path)
            if self.sets is None:
                return open_file(path, "data.train", self._delimiter)
        assert self.sets is not None
        name = config.train if config.repo is not None and config.train is not None else "train"
        return self._named_split(name, "train")

    @property
    def _delimiter(self) -> str | None:
        return None if self.config.delimiter is None else self.config.delimiter.value

    def _named_split(self, name: str, key: str) -> TableFile:
        assert self.sets is not None
        if name not in self.sets:
            raise DataError(
                f"data.{key}={name}: no such split{did_you_mean(name, list(self.sets))} "
                f"(splits: {', '.join(self.sets)})"
            )
        return self.sets[name]

    def _part(self, name: str, columns: Columns) -> FileRows | float | None:
        """Rows of dev or test from a file or named split, or the fraction to draw; None if there is no such split."""
        value = getattr(self.config, name)
        try:
            if value is None and name == "test":
                return None
            if value is None:
                found = next((split for split in DEV_NAMES if self.sets and split in self.sets), None)
                if found is None:
                    self.problems.append(
                        "data.dev is required: a file (data.dev=dev.csv), or a fraction of the training rows "
                        "(data.dev=0.1)"
                    )
                    return None
                return read_rows(self._named_split(found, name), columns)
            if not isinstance(value, str):
                return float(value)
            path = Path(value).expanduser()
            if self.sets is not None and (value in self.sets or not path.exists()):
                return read_rows(self._named_split(value, name), columns)
            return read_rows(open_file(path, f"data.{name}", self._delimiter), columns)
        except DataError as error:
            self.problems.append(_indented(error))
            return None

    def _split(self, name: str, rows: FileRows, task: TaskConfig) -> Split | None:
        try:
            return labeled_split(name, rows, task)
        except DataError as error:
            self.problems.append(_indented(error))
            return None

    def _title(self) -> str:
        """The name of the data: of the file, the folder or the data set."""
        if self.config.repo is not None:
            return "-".join(filter(None, [self.config.repo.rstrip("/").rpartition("/")[2], self.config.subset]))
        assert self.config.train is not None
        path = Path(self.config.train).expanduser().resolve()
        return path.parent.name if path.stem in ("train", "data") and path.parent.name else path.stem

    def _unlabeled(self, columns: Columns, labeled: dict[str, Split]) -> Split:
        """The unlabeled rows whose text is in no labeled split."""
        assert self.config.unlabelled is not None
        path = Path(self.config.unlabelled).expanduser()
        file = open_texts(path, "data.unlabelled", self._delimiter)
        has_names = all(name in file.column_names for name in columns.text)
        chosen = columns.text if has_names else choose_columns(file, [], None).text
        if len(chosen) != len(columns.text):
            raise DataError(
                f"data.unlabelled={path} has {plural(len(chosen), 'text column')} ({', '.join(chosen)}), and the "
                f"labeled rows have {len(columns.text)} ({', '.join(columns.text)}); rename its columns"
            )
        rows = read_rows(file, Columns(chosen, []))
        split = trimmed_split(UNLABELED, rows.texts, None, file.origin, rows.notes)
        known = pa.concat_arrays([text_keys(part) for part in labeled.values()])
        is_new = ~pc.is_in(text_keys(split), value_set=known).to_numpy(zero_copy_only=False)
        is_first = np.zeros(split.num_rows, bool)
        is_first[distinct_texts(split)[1]] = True
        keep, notes = np.flatnonzero(is_new & is_first), list(split.notes)
        if not len(keep):
            raise DataError(f"data.unlabelled={path}: every text is in a labeled split too, so it adds nothing")
        if len(keep) < split.num_rows:
            notes.append(
                f"{split.num_rows - len(keep)} of {split.num_rows} rows of {file.origin} left out: their text repeats "
                "a row, or is in train, dev or test"
            )
        chosen_rows = split.select(keep)
        limit = self.config.max_unlabelled_rows
        if limit is not None and limit < chosen_rows.num_rows:
            notes.append(f"{limit} of {chosen_rows.num_rows} unlabeled rows (data.max_unlabelled_rows)")
            chosen_rows = subset(chosen_rows, limit, self.config.subset_seed)
        return dataclasses.replace(chosen_rows, notes=tuple(notes))


def _indented(error: DataError) -> str:
    """The message of an error as an item of a list."""
    return str(error).replace("\n", "\n  ")


def _as_list(label: Any) -> list[str]:
    if label is None:
        return []
    return [label] if isinstance(label, str) else [str(name) for name in label]
