"""Section on exported generated text."""

from __future__ import annotations

from typing import Any

from kdrun.formatting import number, shorten
from kdrun.reporting.generated_text import STATISTICS, format_statistic
from kdrun.reporting.html.blocks import Block, Example, Examples, Table, Text
from kdrun.reporting.html.run_reader import FinishedRun

DROPPED = {"repeated": "repeated", "empty": "empty", "unknown": "with an unknown word"}


def blocks(run: FinishedRun) -> list[Block] | None:
    """Build the section; None for a run that exported no text."""
    card = run.card
    if card is None:
        return None
    quality, counts = card["quality"], card["counts"]
    dropped = ", ".join(f"{counts[key]} {reason}" for key, reason in DROPPED.items())
    intro = (
        f"{card['file']['rows']} rows in generated/train.jsonl, of {counts['made']} texts generated after training; "
        f"dropped: {dropped}. The rows are machine-generated and unchecked; a row's class is the teacher's most "
        "probable class."
    )
    rows = [
        [name, format_statistic(quality, key), format_statistic(quality, source_key)]
        for key, source_key, name in STATISTICS
    ]
    note = "n/a: the method has no target class, or each text has one word. source: the rows the text is based on."
    examples = [_example(name, line) for name, lines in card["examples"].items() for line in lines]
    return [Text(intro), Table("Statistics of the text", ["", "generated", "source"], rows, [note]), Examples(examples)]


def _example(name: str, line: dict[str, Any]) -> Example:
    """Show a generated row next to its source."""
    generated = [shorten(line[key]) for key in ("text", "text_pair") if key in line]
    source = [shorten(text) for text in line.get("made_of", [])]
    texts = [("generated", " | ".join(generated)), ("source", " | ".join(source))]
    facts = [("teacher", ", ".join(f"{key} {number(share, 3)}" for key, share in line["teacher"].items()))]
    if "answer" in line:
        texts.append(("teacher's answer", shorten(line["answer"])))
    target = line.get("wanted")
    return Example(name, texts, facts + ([("target class", target)] if target else []))
