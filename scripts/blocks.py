"""Puts measured figures into a document, between `<!-- name -->` and `<!-- /name -->`."""

from __future__ import annotations

from pathlib import Path


def put(document: Path, name: str, text: str) -> None:
    """Replace what stands between a block's marks.

    Raises:
        SystemExit: the document has no such block.
    """
    before, found, rest = document.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    _, ended, after = rest.partition(f"<!-- /{name} -->")
    if not (found and ended):
        raise SystemExit(f"{document} has no block <!-- {name} --> … <!-- /{name} -->")
    document.write_text(f"{before}{found}\n{text.strip()}\n\n{ended}{after}", encoding="utf-8")


def table(columns: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; columns of numbers stand to the right."""
    marks = ["---:" if all(cell[:1].isdigit() for cell in cells) else "---" for cells in zip(*rows, strict=True)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (columns, marks, *rows))
