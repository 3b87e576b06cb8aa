"""Choose the text columns of a file for a model."""

from __future__ import annotations

from collections.abc import Sequence

from kdrun.config.task import TaskConfig
from kdrun.data.files.columns import PAIR_NAMES, TEXT_NAMES
from kdrun.deployment.answer_writer import PREFIX
from kdrun.deployment.row_stream import RowStream
from kdrun.errors import ConfigError, did_you_mean
from kdrun.formatting import escape_control

ANSWER_COLUMNS = ("prediction", "probabilities", "written", "cut")
"""Keys of an answer, as in predictions.jsonl."""
ALL = "*"


def choose_text_columns(
    origin: str, names: Sequence[str], requested: Sequence[str], num_texts: int, task: TaskConfig
) -> list[str]:
    """Columns of the texts: the requested ones, those of the run's task, or columns with usual names.

    Args:
        origin: name of the file.
        names: its columns.
        requested: `text=`; may be empty.
        num_texts: texts per row.
        task: task of the model.

    Raises:
        ConfigError: a requested column is missing, their number is wrong, or none can be inferred.
    """
    listing = ", ".join(repr(escape_control(name[:40])) for name in names[:20])
    missing = [f"{name!r}{did_you_mean(name, names)}" for name in requested if name not in names]
    if missing:
        raise ConfigError([f"text={','.join(requested)}: {origin} lacks {', '.join(missing)}; its columns: {listing}"])
    chosen = list(requested) or _inferred(names, num_texts, task)
    if len(chosen) == num_texts:
        return chosen
    if requested:
        raise ConfigError(
            [f"text={','.join(requested)} names {len(requested)}, and the model reads {num_texts} per row"]
        )
    example = "text=COLUMN" if num_texts == 1 else "text=FIRST,SECOND"
    raise ConfigError([f"name the text of {origin} with {example}; its columns: {listing}"])


def _inferred(names: Sequence[str], num_texts: int, task: TaskConfig) -> list[str]:
    if len(task.text) == num_texts and set(task.text) <= set(names):
        return list(task.text)
    lower = {name.lower(): name for name in names}
    usual = PAIR_NAMES if num_texts == 2 else [(name,) for name in TEXT_NAMES]
    options = [[lower[name] for name in option] for option in usual if all(name in lower for name in option)]
    if len(options) == 1:
        return options[0]
    return list(names) if not options and len(names) == num_texts else []


def choose_columns(stream: RowStream, requested: Sequence[str], task: TaskConfig) -> list[str] | None:
    """Input columns that the output repeats; None for all keys of each row of JSON lines.

    Args:
        stream: the file.
        requested: `columns=`; `*` is all.
        task: task of the model, whose answers have columns too.

    Raises:
        ConfigError: a column is missing, or has the name of an answer's column.
    """
    chosen = list(stream.names) if list(requested) == [ALL] else list(requested)
    missing = [f"{name!r}{did_you_mean(name, stream.names)}" for name in chosen if name not in stream.names]
    if missing:
        raise ConfigError([f"columns={','.join(requested)}: {stream.origin} lacks {', '.join(missing)}"])
    taken = [name for name in chosen if name in answer_names(task)]
    if taken:
        others = ",".join(name for name in chosen if name not in answer_names(task))
        raise ConfigError(
            [f"{stream.origin} has the column {taken[0]!r}, as the answers do; choose others with columns=[{others}]"]
        )
    return None if list(requested) == [ALL] and not stream.fixed_columns else chosen


def answer_names(task: TaskConfig) -> set[str]:
    """Names of columns that answers have."""
    return {*ANSWER_COLUMNS, *(f"{PREFIX}{label}" for label in task.labels)}
