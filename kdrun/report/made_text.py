"""The generated text that a run left for other runs: its figures, and rows of each class."""

from __future__ import annotations

from typing import Any

from kdrun.generated.show import FIGURES, figure
from kdrun.report.blocks import Block, Example, Examples, Table, Text
from kdrun.report.read import Run
from kdrun.report.wording import lookup, shortened

DROPPED = {"repeated": "repeated ones", "empty": "empty ones", "unknown": "with an unknown word"}


def blocks(run: Run) -> list[Block] | None:
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
    rows = [[name, figure(quality, key), figure(quality, of_source)] for key, of_source, name in FIGURES]
    note = "n/a: the method asks for no class, or the texts are of one word. Source: the rows that it was made of."
    shown = [_example(name, line) for name, lines in card["examples"].items() for line in lines]
    return [Text(told), Table("Figures of the text", ["", "made", "source"], rows, [note]), Examples(shown)]


def _example(name: str, line: dict[str, Any]) -> Example:
    """A row with what it was made of."""
    made = [shortened(line[key]) for key in ("text", "text_pair") if key in line]
    source = [shortened(text) for text in line.get("made_of", [])]
    texts = [("made", " | ".join(made)), ("of", " | ".join(source))]
    facts = [("teacher", ", ".join(f"{key} {share:.3f}" for key, share in line["teacher"].items()))]
    wanted = lookup(line, "wanted")
    if "answer" in line:
        texts.append(("teacher writes", shortened(line["answer"])))
    return Example(name, texts, facts + ([("wanted", wanted)] if wanted else []))
