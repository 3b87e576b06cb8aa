"""Section on exported generated text."""

from __future__ import annotations

from typing import Any

from kdrun.formatting import shorten
from kdrun.reporting.generated_text import STATISTICS, format_statistic
from kdrun.reporting.html.blocks import Block, Example, Examples, Table, Text
from kdrun.reporting.html.run_reader import FinishedRun, get_path

DROPPED = {"repeated": "repeated ones", "empty": "empty ones", "unknown": "with an unknown word"}


def blocks(run: FinishedRun) -> list[Block] | None:
    """The section; None for a run that left no text."""
    card = run.card
    if card is None:
        return None
    quality, counts = card["quality"], card["counts"]
    dropped = ", ".join(f"{counts[key]} {told}" for key, told in DROPPED.items())
    told = (
        f"{card['file']['rows']} rows in generated/train.jsonl, of {counts['made']} texts made at the end; dropped: "
        f"{dropped}. Nobody wrote or checked them: a row's class is what the teacher finds most probable."
    )
    rows = [
        [name, format_statistic(quality, key), format_statistic(quality, of_source)]
        for key, of_source, name in STATISTICS
    ]
    note = "n/a: the method asks for no class, or the texts are of one word. Source: the rows that it was made of."
    shown = [_example(name, line) for name, lines in card["examples"].items() for line in lines]
    return [Text(told), Table("Figures of the text", ["", "made", "source"], rows, [note]), Examples(shown)]


def _example(name: str, line: dict[str, Any]) -> Example:
    """A row with what it was made of."""
    made = [shorten(line[key]) for key in ("text", "text_pair") if key in line]
    source = [shorten(text) for text in line.get("made_of", [])]
    texts = [("made", " | ".join(made)), ("of", " | ".join(source))]
    facts = [("teacher", ", ".join(f"{key} {share:.3f}" for key, share in line["teacher"].items()))]
    wanted = get_path(line, "wanted")
    if "answer" in line:
        texts.append(("teacher writes", shorten(line["answer"])))
    return Example(name, texts, facts + ([("wanted", wanted)] if wanted else []))
