"""Text that a run made and its teacher scored, read back as training rows: the `train.jsonl` of a `generated/` folder.

One JSON object a line: `text`, for pairs `text_pair`, and `teacher`, the teacher's probability of every class by name;
what kdrun writes says besides which class was `wanted` (null where none was) and which `source` row it was made of.
The label of a row is the teacher's most probable class; of a task that is answered with a text it is `answer`, the text
that the teacher writes. `card.json` beside the file says how it was made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from kdrun.cache import file_digest
from kdrun.data.config import TaskConfig
from kdrun.data.table import TEXTS, Problems, Split, make_split, subset
from kdrun.errors import DataError, nearest

FOLDER, FILE, CARD = "generated", "train.jsonl", "card.json"
"""A run's folder of generated text, its rows, and what is known of them."""

TOLERANCE = 1e-3
"""How far the probabilities of a row may be from a sum of 1: they are written with six digits."""


@dataclass(frozen=True)
class GeneratedSplit(Split):
    """Generated rows, and the card that came with them.

    Attributes:
        card: the content of `card.json`; None where the file stands alone.
    """

    card: dict[str, Any] | None = None


def read(path: str, task: TaskConfig) -> GeneratedSplit:
    """All rows of a file of generated text as a labelled split called `generated`, read line by line.

    Args:
        path: the file, the `generated/` folder that holds it, or the folder of its run.
        task: its classes are those that the rows must have probabilities of.

    Raises:
        DataError: there is no such file, it was made for another task, has no rows, or has rows that do not fit; up to
            five lines are named.
    """
    file = find(Path(path).expanduser())
    card, columns, labels = _card(file, task), [[] for _ in task.text], []
    problems = Problems(str(file))
    with file.open("rb") as lines:  # in binary, a line ends at a line feed alone
        for number, line in enumerate(lines, 1):
            found = _row(line, task)
            if isinstance(found, str):
                problems.note(number, found)
                continue
            for column, text in zip(columns, found[0], strict=True):
                column.append(text)
            labels.append(found[1])
    problems.refuse(remedy="Lines are not dropped: mend or delete them, or have the text made again.")
    if not labels:
        raise DataError(f"{file} is empty: the run that was to fill it made no text; have it made again")
    texts: list[pa.Array | pa.ChunkedArray] = [pa.array(column, pa.string()) for column in columns]
    kind = pa.string() if task.is_extraction else pa.int32()
    made = make_split("generated", texts, pa.array(labels, kind), str(file))
    notes = tuple(_notes(file, made.num_rows, card))
    synthetic = bool(card and card["synthetic"])
    return GeneratedSplit(made.name, made.table, made.origin, made.fingerprint, notes, synthetic, card)


def read_text(path: str, task: TaskConfig, rows: int | None, seed: int) -> GeneratedSplit:
    """The same rows without their labels, as the split `ood` that a data-free method learns from.

    Args:
        path: as of `read`.
        task: as of `read`.
        rows: a random subset of so many rows; None is all.
        seed: of that subset.

    Raises:
        DataError: as `read`.
    """
    made = read(path, task)
    kept = made if rows is None else subset(made, rows, seed)
    assert isinstance(kept, GeneratedSplit)
    plain = make_split("ood", [kept.table.column(name) for name in TEXTS[: len(task.text)]], None, made.origin)
    notes = made.notes
    if kept.num_rows < made.num_rows:
        notes += (f"{kept.num_rows} of these rows are used (ood.rows), drawn with ood.seed={seed}",)
    return GeneratedSplit(plain.name, plain.table, plain.origin, plain.fingerprint, notes, made.synthetic, made.card)


def find(path: Path) -> Path:
    """The file of rows that a path means.

    Raises:
        DataError: it is not there.
    """
    for candidate in (path, path / FILE, path / FOLDER / FILE):
        if candidate.is_file():
            return candidate
    if not path.exists():
        raise DataError(f"{path} does not exist; name a {FILE}, or the {FOLDER}/ folder of a run that made text")
    here = ", ".join(sorted(found.name for found in islice(path.iterdir(), 12))) or "nothing"
    raise DataError(
        f"{path} holds no {FILE} and no {FOLDER}/{FILE} (it holds {here}); a run of a method that makes text leaves "
        "them, such as kdrun method=zskd (generated.rows says how many rows)"
    )


def must_be_alike(made: Split, synthetic: bool, remedy: str) -> None:
    """Refuse made-up text beside real rows, and the other way round: no score of such a student means anything.

    Args:
        made: generated rows; those without a card are not known to be either.
        synthetic: whether the rows that the student is scored on are synthetic.
        remedy: what to do, as the end of a sentence.

    Raises:
        DataError: one is synthetic and the other is not.
    """
    card = made.card if isinstance(made, GeneratedSplit) else None
    if card is None or card["synthetic"] == synthetic:
        return
    words = {True: "synthetic", False: "real"}
    raise DataError(
        f"{made.origin} was made of {words[card['synthetic']]} text, and the dev rows of {card['task']} here are "
        f"{words[synthetic]}: {remedy}"
    )


def _card(file: Path, task: TaskConfig) -> dict[str, Any] | None:
    """What stands beside a file about how it was made, for this very task; None where nothing does."""
    path = file.with_name(CARD)
    if not path.is_file():
        return None
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); delete it, or have the text made again") from None
    lacking = [key for key in ("task", "labels", "synthetic", "method", "file") if key not in card]
    if lacking:
        raise DataError(f"{path} was not written by kdrun: it lacks {', '.join(lacking)}; delete it")
    if (card["task"], card["labels"]) != (task.name, task.classes):
        raise DataError(
            f"{file} was made for task={card['task']} ({', '.join(card['labels'])}), and this run is of "
            f"task={task.name} ({', '.join(task.classes) or 'a score'}); take task={card['task']}, or text made for it"
        )
    return card


def _row(line: bytes, task: TaskConfig) -> tuple[list[str], int | str] | str:
    """The texts and the label of a line, or what is wrong with it."""
    try:
        row = json.loads(line)
    except ValueError:  # of the encoding too
        whole = line.endswith(b"\n")
        return "it is not JSON" if whole else "it is not JSON and has no end: the file was cut off while it was written"
    texts = list(TEXTS[: len(task.text)])
    judged = ["teacher", "answer"] if task.is_extraction else ["teacher"]
    if not isinstance(row, dict):
        return f"expected an object with {', '.join([*texts, *judged])}, got {type(row).__name__}"
    known = [*texts, "wanted", *judged, "source"]
    lacking = [key for key in (*texts, *judged) if key not in row]
    unknown = [key for key in row if key not in known]
    if lacking or unknown:
        wrong = [f"lacks {key}" for key in lacking] + [f"has the key {key!r}{nearest(key, known)}" for key in unknown]
        return f"it {' and '.join(wrong)} (keys of task={task.name}: {', '.join(known)})"
    if not all(isinstance(row[key], str) for key in texts):
        return f"{' and '.join(texts)} must be text"
    if not any(row[key].strip() for key in texts):
        return "the text is empty"
    shares, classes = row["teacher"], task.classes
    if row.get("wanted") is not None and row["wanted"] not in classes:
        return f"wanted is {row['wanted']!r}, which is no class (expected {', '.join(classes)} or null)"
    wrong = _wrong_shares(shares, classes)
    if wrong:
        return wrong
    if task.is_extraction:
        answer = row["answer"]
        return ([row[key] for key in texts], answer) if isinstance(answer, str) else "answer must be text"
    return [row[key] for key in texts], max(range(len(classes)), key=lambda k: shares[classes[k]])


def _wrong_shares(shares: Any, labels: list[str]) -> str | None:
    """What is wrong with a row's probabilities; None where nothing is."""
    wanted = ", ".join(labels)
    if not isinstance(shares, dict):
        return f"teacher must say the probability of each class ({wanted}), got {type(shares).__name__}"
    unknown = [name for name in shares if name not in labels]
    missing = [name for name in labels if name not in shares]
    if unknown or missing:
        wrong = [f"names {name!r}, no class{nearest(name, labels)}" for name in unknown[:1]]
        wrong += [f"does not say {', '.join(missing)}"] if missing else []
        return f"teacher {' and '.join(wrong)} (expected {wanted})"
    for name, share in shares.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            return f"teacher says {share!r} of {name}, which is no probability"
    total = sum(shares.values())
    if abs(total - 1) > TOLERANCE:
        return f"the teacher's probabilities sum to {total:.4g} instead of 1"
    return None


def _notes(file: Path, rows: int, card: dict[str, Any] | None) -> list[str]:
    if card is None:
        return [f"generated text: {rows} rows of {file}; there is no {CARD} beside it that says how it was made"]
    notes = [f"generated text: {rows} rows of {file}, made by method={card['method']} for {card['task']}"]
    if file_digest(file) != card["file"]["sha256"]:
        counted = card["file"]["rows"]
        notes.append(
            f"{file} is not what its {CARD} was written for ({counted} rows then, {rows} now): it was changed or cut "
            "off, and the figures of the card are not of it"
        )
    return notes
