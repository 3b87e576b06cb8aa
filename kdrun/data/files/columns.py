"""Choose the text and label columns of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from kdrun.data.files.column_facts import ColumnFacts, facts_of
from kdrun.data.files.table_file import TableFile, is_list, is_text
from kdrun.data.row_checks import NUMBER
from kdrun.data.splits import pc
from kdrun.errors import DataError
from kdrun.formatting import escape_control, plural

TEXT_NAMES = (
    "text", "sentence", "review", "content", "comment", "body", "message", "document", "tweet", "utterance", "post",
    "abstract", "email", "query", "question", "input",
)  # fmt: skip
"""Names of a single text column, in lower case."""
PAIR_NAMES = (
    ("premise", "hypothesis"), ("sentence1", "sentence2"), ("text1", "text2"), ("question1", "question2"),
    ("text_a", "text_b"), ("sentence_a", "sentence_b"), ("question", "answer"), ("question", "sentence"),
    ("question", "passage"), ("query", "passage"), ("query", "document"),
)  # fmt: skip
"""Names of the two text columns of a pair, in lower case."""
LABEL_NAMES = (
    "label", "labels", "class", "category", "target", "sentiment", "intent", "emotion", "topic", "stars", "rating",
    "score", "gold_label", "y",
)  # fmt: skip
"""Names of a label column, in lower case; `label` and `labels` win over the others."""
ANSWER_NAMES = ("answer", "target", "output", "response", "completion", "summary", "translation")
"""Names of a column of answers in free text, in lower case."""
FIRST_NAMES = {"text": "text", "label": "label"}
MIN_TEXT_WORDS = 3
"""Mean number of words from which a column is text."""
MAX_LABEL_VALUES = 100
"""Different values up to which a column is a label."""
MAX_SHARE = 0.5
"""Share of different values among the rows: a text column has more, a label column at most as many."""
SAMPLE = 10000
"""First rows of a column that tell whether its values are words or numbers."""
MAX_HEADER = 60
"""Characters of a column name beyond which the first line looks like a row."""


@dataclass(frozen=True)
class Columns:
    """Columns of the texts and the label.

    Attributes:
        text: one column, or two for a pair.
        label: one column, or several columns of 0 and 1 for a multi-label task; empty for unlabeled rows.
    """

    text: list[str]
    label: list[str]

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [*self.text, *self.label]


class Column:
    """A column with facts about its values, for inference and messages.

    Args:
        name: of the column.
        head: its first `SAMPLE` values.

    Attributes:
        facts: facts about all values; None until `_read_facts`.
    """

    def __init__(self, name: str, head: pa.ChunkedArray) -> None:
        self.name, self.head, self.type = name, head, head.type
        self.facts: ColumnFacts | None = None

    @property
    def num_distinct(self) -> int | None:
        """Number of different values; None for lists and objects."""
        assert self.facts is not None
        return self.facts.num_distinct

    @cached_property
    def mean_words(self) -> float:
        """Mean number of words of the first values of a text column; 0 for other types."""
        if not is_text(self.type) or not len(self.head):
            return 0.0
        return float(pc.mean(pc.count_substring_regex(self.head, r"\S+")).as_py() or 0.0)

    @cached_property
    def type_name(self) -> str:
        """The type in plain words."""
        data_type = self.type
        if is_text(data_type):
            return "numbers" if self._is_numeric_text else "text"
        if is_list(data_type):
            return "lists"
        if pa.types.is_boolean(data_type):
            return "true or false"
        if pa.types.is_integer(data_type):
            return "whole numbers"
        if pa.types.is_floating(data_type) or pa.types.is_decimal(data_type):
            return "numbers"
        if pa.types.is_null(data_type):
            return "empty"
        return "dates" if pa.types.is_temporal(data_type) else "objects"

    @cached_property
    def _is_numeric_text(self) -> bool:
        values = pc.utf8_trim_whitespace(self.head)
        return bool(len(values)) and bool(pc.all(pc.match_substring_regex(values, NUMBER)).as_py())

    @property
    def is_text(self) -> bool:
        """Whether the values look like texts: several words, most of them different."""
        assert self.facts is not None
        count = self.num_distinct or 0
        return self.mean_words >= MIN_TEXT_WORDS and count > MAX_SHARE * self.facts.num_rows

    @property
    def is_label(self) -> bool:
        """Whether the values look like classes: few different ones."""
        assert self.facts is not None
        count = self.num_distinct
        if count is None or self.type_name in ("dates", "objects", "empty"):
            return False
        return 2 <= count <= MAX_LABEL_VALUES and count <= MAX_SHARE * self.facts.num_rows

    def describe(self) -> str:
        """Name, type, number of different values and an example."""
        example = next((value for value in self.head.slice(0, 100).to_pylist() if value not in (None, "")), None)
        text = escape_control(repr(example))
        text = text if len(text) <= 50 else f"{text[:49]}…"
        distinct = "" if self.num_distinct is None else f", {plural(self.num_distinct, 'different value')}"
        return f"{escape_control(self.name)}: {self.type_name}{distinct}, e.g. {text}"


def _read_facts(file: TableFile, columns: Sequence[Column]) -> None:
    """Read the facts of columns that lack them."""
    missing = [column for column in columns if column.facts is None]
    facts = facts_of(file, [column.name for column in missing])
    for column in missing:
        column.facts = facts[column.name]


def _read_head(file: TableFile, names: Sequence[str]) -> list[Column]:
    """The columns with their first values."""
    batches, count = [], 0
    for batch in file.batches(names):
        batches.append(batch)
        count += batch.num_rows
        if count >= SAMPLE:
            break
    head = pa.Table.from_batches(batches).slice(0, SAMPLE)
    return [Column(name, head.column(name)) for name in names]


def choose_columns(
    file: TableFile, text: Sequence[str], label: Sequence[str] | None, *, is_free_text: bool = False
) -> Columns:
    """The text and label columns of a file; those that the config does not name are inferred.

    Args:
        file: the file.
        text: `task.text`; empty to infer it.
        label: `task.label`; empty to infer it, None for unlabeled rows.
        is_free_text: whether labels are answers in free text, which have separate names.

    Raises:
        DataError: a named column is missing, or inference is ambiguous; lists the columns of the file.
    """
    if text and (label is None or label):
        columns = Columns(list(text), list(label or []))
        file.check_names(columns.names)
        return columns
    repeated = {name for name in file.column_names if file.column_names.count(name) > 1}
    names = [name for name in file.column_names if name not in repeated]
    columns, problems = _read_head(file, names), []
    chosen_label = list(label or [])
    if label is not None and not label:
        found = _answer_column(columns, text) if is_free_text else _label_column(file, columns, text)
        chosen_label = [found] if found else []
        if not found:
            problems.append("its label column (task.label=COLUMN)")
    chosen_text = list(text) or _text_columns(file, [c for c in columns if c.name not in chosen_label])
    if not chosen_text:
        problems.insert(0, "its text column ('task.text=[COLUMN]', or two columns for a pair)")
    if problems:
        raise DataError(_question(file, columns, problems, repeated))
    _check_header(file, columns, [*(() if text else chosen_text), *(() if label or label is None else chosen_label)])
    return Columns(chosen_text, chosen_label)


def _question(file: TableFile, columns: list[Column], problems: list[str], repeated: set[str]) -> str:
    _read_facts(file, columns)
    lines = [f"{file.origin}: name {' and '.join(problems)}; the columns do not tell. They are:"]
    lines += [f"  - {column.describe()}" for column in columns]
    lines += [f"  - {escape_control(name)}: more than one column has this name" for name in sorted(repeated)]
    if columns and any(_looks_like_value(file, column) for column in columns):
        lines.append("The first line looks like a row: a file needs a header line with the names of its columns.")
    return "\n".join(lines)


def _label_column(file: TableFile, columns: list[Column], text: Sequence[str]) -> str | None:
    """The only column that is a label by name, else by content; None if none or several are."""
    others = [column for column in columns if column.name not in text]
    by_name = [column.name for column in others if column.name.lower() in LABEL_NAMES]
    for preferred in ("label", "labels"):
        exact = [name for name in by_name if name.lower() == preferred]
        if len(exact) == 1:
            return exact[0]
    if by_name:
        return by_name[0] if len(by_name) == 1 else None
    _read_facts(file, others)
    by_content = [column.name for column in others if column.is_label]
    return by_content[0] if len(by_content) == 1 else None


def _answer_column(columns: list[Column], text: Sequence[str]) -> str | None:
    """The only column named as answers are; None if none or several are."""
    names = [column.name for column in columns if column.name not in text and column.name.lower() in ANSWER_NAMES]
    return names[0] if len(names) == 1 else None


def _text_columns(file: TableFile, columns: list[Column]) -> list[str]:
    """The only text column or pair by name, else the only one by content; empty if none or several are."""
    texts = [column for column in columns if is_text(column.type)]
    lower = {column.name.lower(): column.name for column in texts}
    pairs = [[lower[name] for name in pair] for pair in PAIR_NAMES if all(name in lower for name in pair)]
    singles = [lower[name] for name in TEXT_NAMES if name in lower]
    if pairs:
        extra = [name for name in singles if name not in pairs[0]]
        return pairs[0] if len(pairs) == 1 and not extra else []
    if singles:
        return singles if len(singles) == 1 else []
    _read_facts(file, texts)
    by_content = [column.name for column in texts if column.is_text]
    return by_content if len(by_content) == 1 else []


def _check_header(file: TableFile, columns: list[Column], inferred: Sequence[str]) -> None:
    """Refuse a first line that is a row: names of inferred columns that are values.

    Raises:
        DataError: the file has no header.
    """
    for column in columns:
        if column.name in inferred and _looks_like_value(file, column):
            raise DataError(
                f"{file.origin}: the first line looks like a row ({escape_control(column.name[:40])!r}), not like the "
                "names of the columns; add a header line such as text,label (or name the columns with task.text and "
                "task.label)"
            )


def _looks_like_value(file: TableFile, column: Column) -> bool:
    """Whether the name of a column is one of its values, a number, or a long text."""
    name = column.name
    if len(name) > MAX_HEADER or name.replace(".", "", 1).isdigit():
        return True
    if not is_text(column.type) or column.mean_words >= MIN_TEXT_WORDS:
        return False
    _read_facts(file, [column])
    return column.facts is not None and column.facts.has_own_name
