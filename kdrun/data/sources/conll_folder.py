"""Read CoNLL files and turn their entity tags into target text.

Columns are separated by blanks; the first is the word, the last its tag. A file is tagged in BIO (IOB2: every entity
begins with `B-`) or in the IOB1 of CoNLL-2003's first release (an entity begins with `I-`, or with `B-` directly behind
another entity of its type). `-DOCSTART-` lines separate documents and contain no words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from kdrun.config.task import TaskConfig
from kdrun.data import entities
from kdrun.data.entities import Entity
from kdrun.data.row_checks import RowProblems
from kdrun.data.sources.glue_folder import read_lines
from kdrun.data.sources.split_files import find_files
from kdrun.data.splits import Split, make_split
from kdrun.errors import DataError, did_you_mean

DOCUMENT = "-DOCSTART-"
OUTSIDE = "O"


@dataclass(frozen=True)
class ConllLayout:
    """A task's files: the `folder` section of `conf/task/*.yaml`.

    Attributes:
        dir: the task's folder, e.g. `conll2003`.
        files: file name of each split.
        tags: the task's entity type of each tag, e.g. PER: person.
        title: the task's name in results; empty is `dir`.
    """

    dir: str
    files: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    title: str = ""

    @classmethod
    def of(cls, task: TaskConfig) -> ConllLayout:
        """The layout of a task.

        Raises:
            DataError: the task's `folder` section has unknown keys, lacks some, or names types unknown to the task.
        """
        names = [item.name for item in dataclasses.fields(cls)]
        unknown = [key for key in task.folder if key not in names]
        missing = [key for key in ("dir", "files", "tags") if key not in task.folder]
        if unknown:
            ending = did_you_mean(unknown[0], names)
            raise DataError(f"task.folder.{unknown[0]} is not a key{ending} (known: {', '.join(names)})")
        if missing:
            raise DataError(f"task {task.name} cannot be read from a folder: its yaml lacks folder.{missing[0]}")
        layout = cls(**task.folder)
        if set(layout.tags.values()) != set(task.entities):
            raise DataError(
                f"task.folder.tags maps to {', '.join(layout.tags.values())}; task.entities are "
                f"{', '.join(task.entities)}"
            )
        return layout


def read_task(root: str, task: TaskConfig, names: Sequence[str]) -> dict[str, Split]:
    """Splits of a task; no file of another split is opened.

    Args:
        root: the folder that holds `conll2003/train.txt` and so on, or these files themselves.
        task: the task; its `folder` section gives the layout.
        names: names of the splits.

    Raises:
        DataError: a folder or file is missing, or a file has lines that do not fit the layout.
    """
    layout = ConllLayout.of(task)
    files = find_files(_folder(Path(root).expanduser(), layout), layout.files, names)
    return {name: read_file(path, task, layout, name, notes) for name, path, notes in files}


def check_files(root: str, task: TaskConfig, names: Sequence[str]) -> None:
    """Check that the files of these splits exist.

    Raises:
        DataError: a folder or file is missing.
    """
    layout = ConllLayout.of(task)
    list(find_files(_folder(Path(root).expanduser(), layout), layout.files, names))


def _folder(root: Path, layout: ConllLayout) -> Path:
    files = ", ".join(layout.files.values())
    if not root.is_dir():
        state = "is a file" if root.exists() else "does not exist"
        raise DataError(f"data.dir is {root}, which {state}; expected the folder that holds {layout.dir}/ or {files}")
    if (root / layout.dir).is_dir():
        return root / layout.dir
    if any((root / name).is_file() for name in layout.files.values()):
        return root
    entries = sorted(path.name for path in root.iterdir())
    listing = ", ".join(entries[:12]) or "nothing"
    raise DataError(f"{root} holds neither a folder {layout.dir} nor {files}; it holds {listing}")


def read_file(path: Path, task: TaskConfig, layout: ConllLayout, name: str, notes: tuple[str, ...] = ()) -> Split:
    """One file as a split: `text` joins the words by blanks, `label` the entities as text.

    Raises:
        DataError: the file does not fit the layout; up to five lines are named.
    """
    origin = f"{layout.dir}/{path.name}"
    reader = _ConllReader(origin, layout, scored=name != "train")
    for number, line in enumerate(read_lines(path, origin).to_pylist(), start=1):
        reader.add_line(number, line)
    reader.end_sentence()
    reader.problems.raise_if_any()
    if not reader.texts:
        raise DataError(f"{origin} has no sentences; expected {task.rows.get(name, 'some')} for {name}")
    notes += reader.notes()
    return make_split(name, [pa.array(reader.texts)], pa.array(reader.answers), origin, notes)


class _ConllReader:
    """Collects the sentences of one file, line by line."""

    def __init__(self, origin: str, layout: ConllLayout, scored: bool) -> None:
        self.origin, self.layout, self.scored, self.problems = origin, layout, scored, RowProblems(origin)
        self.texts: list[str] = []
        self.answers: list[str] = []
        self.num_ambiguous = 0
        self.words: list[str] = []
        self.tags: list[str] = []
        self.first = 0
        self.inside_begins: list[tuple[int, str]] = []
        self.outside_begins: list[tuple[int, str]] = []

    def add_line(self, number: int, line: str) -> None:
        columns = [column for column in line.replace("\t", " ").split(" ") if column]
        if not columns or columns[0] == DOCUMENT:
            self.end_sentence()
            return
        if not self.words:
            self.first = number
        tag = columns[-1]
        is_tag = tag == OUTSIDE or (tag[:2] in ("B-", "I-") and tag[2:] in self.layout.tags)
        if len(columns) < 2:
            self._add_problem(number, f"one column ({line.strip()[:40]!r}), expected at least a word and a tag")
            tag = OUTSIDE
        elif not is_tag:
            names = ", ".join(self.layout.tags)
            self._add_problem(number, f"the tag is {tag!r}; expected O, or B- or I- with one of {names}")
            tag = OUTSIDE
        self._record_scheme(number, tag)
        self.words.append(columns[0])
        self.tags.append(tag)

    def _record_scheme(self, number: int, tag: str) -> None:
        """Record a tag that is possible in only one of the two schemes."""
        previous = self.tags[-1] if self.tags else OUTSIDE
        same = previous[2:] == tag[2:]
        if tag.startswith("I-") and not same:
            self.inside_begins.append((number, tag))
        elif tag.startswith("B-") and not same:
            self.outside_begins.append((number, tag))

    def end_sentence(self) -> None:
        """Add the current sentence, if there is one."""
        if not self.words:
            return
        sentence_entities = entities_from_tags(self.words, self.tags, self.layout.tags)
        try:
            self.answers.append(entities.serialize(sentence_entities))
        except DataError as error:
            self._add_problem(self.first, str(error))
            self.answers.append(entities.NO_ENTITY)
        self.texts.append(" ".join(self.words))
        self.num_ambiguous += self.scored and entities.is_ambiguous(self.words, sentence_entities)
        self.words, self.tags = [], []

    def notes(self) -> tuple[str, ...]:
        """Notes for readers of the result.

        Raises:
            DataError: the file has tags of both schemes, so the starts of entities are ambiguous.
        """
        notes: tuple[str, ...] = ()
        if self.inside_begins and self.outside_begins:
            one, other = self.inside_begins[0], self.outside_begins[0]
            raise DataError(
                f"{self.origin} mixes two schemes: {one[1]} begins an entity on line {one[0]}, as in IOB1, and "
                f"{other[1]} one on line {other[0]}, as in BIO (in IOB1, B- only follows an entity of the same type); "
                "convert the file to one of them"
            )
        if self.inside_begins:
            notes = (f"{self.origin} is tagged in IOB1 (its first entity begins with {self.inside_begins[0][1]})",)
        if self.num_ambiguous:
            notes += (
                f"{self.num_ambiguous} of {len(self.texts)} sentences of {self.origin} contain the words of an entity "
                "again outside that entity: only there can the score, which ignores positions, exceed conlleval's",
            )
        return notes

    def _add_problem(self, number: int, sentence: str) -> None:
        self.problems.add(np.array([True]), np.array([number]), iter([sentence]))


def entities_from_tags(words: Sequence[str], tags: Sequence[str], types: dict[str, str]) -> list[Entity]:
    """The entities of a sentence in order, from BIO or IOB1 tags: `B-`, or `I-` behind another type, begins one."""
    entity_words: list[tuple[str, list[str]]] = []
    previous = OUTSIDE
    for word, tag in zip(words, tags, strict=True):
        if tag != OUTSIDE:
            if tag.startswith("B-") or previous[2:] != tag[2:]:
                entity_words.append((types[tag[2:]], []))
            entity_words[-1][1].append(word)
        previous = tag
    return [(entity_type, " ".join(names)) for entity_type, names in entity_words]
