"""Shapes of the files of a run's folder that its page shows."""

from __future__ import annotations

from typing import Any

from kdrun.storage.json_reader import Rule, Shape, is_finite

MAX_STEP = 2**53
STEP = Rule("a number of steps", lambda value: type(value) is int and 0 <= value < MAX_STEP)
MAX_NUMBER = 1e30
"""Far above any loss and score; sums and squares of it are finite."""
NUMBER = Rule("a finite number", lambda value: is_finite(value) and abs(value) < MAX_NUMBER)
SHARE = Rule("a probability", lambda value: is_finite(value) and 0 <= value <= 1)


def _is_label(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(name, str) for name in value)
    return isinstance(value, str) or bool(NUMBER.holds(value))


LABEL = Rule("a text, a list of texts or a finite number", _is_label)

METRICS: dict[str, Shape] = {
    "step?": STEP,
    "phase?": str,
    "role?": str,
    "eval?": {"*": {"*": (NUMBER, None)}},
}
PREDICTION: dict[str, Shape] = {
    "id?": int,
    "split": str,
    "text?": str,
    "text_pair?": str,
    "domain?": str,
    "gold": LABEL,
    "prediction": LABEL,
    "probabilities?": {"*": SHARE},
    "teacher_prediction?": LABEL,
    "teacher_probabilities?": {"*": SHARE},
}
SAMPLE: dict[str, Shape] = {
    "step": STEP,
    "original": str,
    "text": str,
    "changed": [int],
    "teacher": {"before": {"*": NUMBER}, "after": {"*": NUMBER}},
    "student": {"before": {"*": NUMBER}, "after": {"*": NUMBER}},
    "answers?": {"teacher": str, "student": str},
}


def _is_statistic(value: Any) -> bool:
    values = value.values() if isinstance(value, dict) else [value]
    return all(item is None or is_finite(item) for item in values)


STATISTIC = Rule("a number, null, or numbers by class", _is_statistic)
CARD: dict[str, Shape] = {
    "file": {"rows": int},
    "counts": {"made": int, "repeated": int, "empty": int, "unknown": int},
    "quality": {"*": STATISTIC},
    "examples": {
        "*": [
            {
                "text?": str,
                "text_pair?": str,
                "made_of?": [str],
                "teacher": {"*": float},
                "answer?": str,
                "wanted?": (str, None),
            }
        ]
    },
}


class PredictionForms:
    """Check that the predictions of a split have one form: classes, lists of classes, scores or texts."""

    def __init__(self) -> None:
        self._forms: dict[str, tuple[Any, ...]] = {}

    def problem(self, row: dict[str, Any]) -> str | None:
        """The problem of a row that differs from the first row of its split; None if it does not."""
        form = _form(row)
        if "written" in row and not all(isinstance(row.get(key), str) for key in ("text", "prediction")):
            return "written needs a text and a prediction that is text"
        if _is_free_text(row) and not all(isinstance(row.get(key), str) for key in ("gold", "prediction")):
            return "cut needs a gold answer and a prediction that are text"
        if form == self._forms.setdefault(row["split"], form):
            return None
        return f"other keys or types than the first row of {row['split']}"


def _form(row: dict[str, Any]) -> tuple[Any, ...]:
    labels = [
        str if isinstance(row[key], str) else isinstance(row[key], list)
        for key in ("gold", "prediction", "teacher_prediction")
        if key in row
    ]
    classes = [tuple(row[key]) if key in row else None for key in ("probabilities", "teacher_probabilities")]
    return *labels, *classes, "written" in row, _is_free_text(row), "id" in row


def _is_free_text(row: dict[str, Any]) -> bool:
    return "cut" in row and "written" not in row


def sample_problem(row: dict[str, Any]) -> str | None:
    """The problem of the changed words of a sample; None if the text has them all."""
    count = len(row["text"].split())
    missing = [place for place in row["changed"] if not 0 <= place < count]
    if not missing:
        return None
    return f"changed names word {missing[0]}, and the text has {count} words, counted from 0"
