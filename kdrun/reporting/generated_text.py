"""Statistics and examples of generated text for console and pages."""

from __future__ import annotations

from typing import Any

STATISTICS = (
    ("distinct_1", "source_distinct_1", "distinct-1: different words ÷ words"),
    ("distinct_2", "source_distinct_2", "distinct-2: different word pairs ÷ word pairs"),
    ("copied_1", "", "words that the source row has too"),
    ("copied_2", "", "word pairs that the source row has too"),
    ("unchanged", "", "rows with just the words of their source"),
    ("words", "source_words", "words a row"),
    ("confidence", "", "teacher's largest probability, mean"),
    ("agreement", "", "teacher finds the class that was wanted"),
    ("evenness", "", "evenness of the classes (1: all alike)"),
    ("classes", "", "rows by the teacher's class"),
    ("wanted", "", "rows by the class that was wanted"),
)
"""Key of a figure, key of the same of the source rows, and what it is called."""
SHOWN = 3
"""Examples of each class on the screen."""
LONGEST = 160
"""Characters of an example on the screen."""


def format_statistic(quality: dict[str, Any], key: str) -> str:
    """A figure as it is shown; empty for one that the source rows do not have."""
    value = quality.get(key)
    if not key:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{name} {100 * share:.1f} %" for name, share in value.items())
    if value is None:
        return "n/a"
    return f"{value:.1f}" if key.endswith("words") else f"{value:.3f}"


def statistics_rows(quality: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures as names and values, those of the source rows behind them."""
    rows = []
    for key, of_source, told in STATISTICS:
        beside = f"  (source {format_statistic(quality, of_source)})" if of_source else ""
        rows.append((told, f"{format_statistic(quality, key)}{beside}"))
    return rows


def example_rows(found: dict[str, list[dict[str, Any]]]) -> list[tuple[str, str]]:
    """A few rows of each class: the teacher's probability of it, and the text."""
    rows = []
    for name, lines in found.items():
        for line in lines[:SHOWN]:
            text = " | ".join(line[key] for key in ("text", "text_pair") if key in line)
            text += f"  →  {line['answer']}" if "answer" in line else ""
            shown = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
            rows.append((f"{name} {line['teacher'][name]:.2f}", shown))
    return rows


def warnings(result: dict[str, Any]) -> list[str]:
    """What a user of the text should not overlook, as sentences."""
    found, counts = [], result["counts"]
    if counts["kept"] < counts["wanted"]:
        found.append(
            f"generated text: {counts['wanted']} rows were asked for and {counts['kept']} are there: after "
            f"{counts['passes']} passes over the source rows the generator gives hardly a new text"
        )
    none = [name for name, share in result["quality"]["classes"].items() if not share]
    if none:
        found.append(
            f"generated text: the teacher finds no row of the class {', '.join(none)}, so no student can learn that "
            "class from it"
        )
    return found
