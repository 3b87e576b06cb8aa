"""Statistics and examples of generated text for console and pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdrun.formatting import number, percent

STATISTICS = (
    ("distinct_1", "source_distinct_1", "distinct-1: distinct words ÷ words"),
    ("distinct_2", "source_distinct_2", "distinct-2: distinct word pairs ÷ word pairs"),
    ("copied_1", "", "words also in the source row"),
    ("copied_2", "", "word pairs also in the source row"),
    ("unchanged", "", "rows with the same words as their source"),
    ("words", "source_words", "words per row"),
    ("confidence", "", "teacher's largest probability, mean"),
    ("agreement", "", "teacher's class = target class"),
    ("evenness", "", "evenness of the classes (1: equal shares)"),
    ("classes", "", "rows by the teacher's class"),
    ("wanted", "", "rows by target class"),
)
"""Key of a statistic, key of that statistic on the source rows (empty if undefined), and its name."""
EXAMPLES_PER_CLASS = 3
"""Examples of each class on the console."""
MAX_EXAMPLE_LENGTH = 160
"""Characters of an example on the console."""


def format_statistic(quality: dict[str, Any], key: str) -> str:
    """Format a statistic; empty for one that source rows do not have."""
    value = quality.get(key)
    if not key:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{name} {percent(share)}" for name, share in value.items())
    return number(value, 1 if key.endswith("words") else 3)


def statistics_rows(quality: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the name and value of each statistic; the value ends with that of the source rows, if defined."""
    rows = []
    for key, source_key, name in STATISTICS:
        source = f"  (source {format_statistic(quality, source_key)})" if source_key else ""
        rows.append((name, f"{format_statistic(quality, key)}{source}"))
    return rows


def example_rows(examples: dict[str, list[dict[str, Any]]]) -> list[tuple[str, str]]:
    """Return a few rows of each class: the teacher's probability of the class, and the text."""
    rows = []
    for name, lines in examples.items():
        for line in lines[:EXAMPLES_PER_CLASS]:
            text = " | ".join(line[key] for key in ("text", "text_pair") if key in line)
            text += f"  →  {line['answer']}" if "answer" in line else ""
            preview = text if len(text) <= MAX_EXAMPLE_LENGTH else f"{text[: MAX_EXAMPLE_LENGTH - 1]}…"
            rows.append((f"{name} {line['teacher'][name]:.2f}", preview))
    return rows


def warnings(result: Mapping[str, Any]) -> list[str]:
    """Return warnings for users of the generated text."""
    warnings, counts = [], result["counts"]
    if counts["kept"] < counts["wanted"]:
        warnings.append(
            f"generated text: {counts['kept']} of {counts['wanted']} requested rows: after {counts['passes']} passes "
            "over the source rows the generator produces almost no new text"
        )
    missing = [name for name, share in result["quality"]["classes"].items() if not share]
    if missing:
        warnings.append(
            f"generated text: the teacher assigns no row to class {', '.join(missing)}, so students cannot learn this "
            "class from the text"
        )
    return warnings
