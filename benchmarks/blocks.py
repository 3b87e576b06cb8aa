"""Write measurements into a document, between `<!-- name -->` and `<!-- /name -->`."""

from __future__ import annotations

from pathlib import Path


def block(document: Path, name: str) -> str:
    """Return the content of a block."""
    return _parts(document, name)[1].strip()


def put(document: Path, name: str, text: str) -> None:
    """Replace the content of a block.

    Raises:
        SystemExit: the document has no such block.
    """
    before, _, after = _parts(document, name)
    document.write_text(f"{before}\n{text.strip()}\n\n{after}", encoding="utf-8")


def _parts(document: Path, name: str) -> tuple[str, str, str]:
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, opening, rest = document.read_text(encoding="utf-8").partition(begin)
    inside, closing, after = rest.partition(end)
    if not (opening and closing):
        raise SystemExit(f"{document} has no block {begin.strip()} … {end}")
    return before + begin, inside, end + after


def replaced(text: str, rows: list[list[str]]) -> list[list[str]]:
    """Merge `rows` into the rows of a Markdown table, in place of rows with the same first two cells."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")][2:]
    by_name = {tuple(line[:2]): line for line in [*lines, *rows]}
    return list(by_name.values())


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Format a Markdown table; columns of numbers are right-aligned."""
    alignment = ["---:" if all(cell[:1].isdigit() for cell in cells) else "---" for cells in zip(*rows, strict=True)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (columns, alignment, *rows))
