"""Puts measured figures into a document, between `<!-- name -->` and `<!-- /name -->`."""

from __future__ import annotations

from pathlib import Path


def block(document: Path, name: str) -> str:
    """What stands between a block's marks."""
    return _parts(document, name)[1].strip()


def put(document: Path, name: str, text: str) -> None:
    """Replace what stands between a block's marks.

    Raises:
        SystemExit: the document has no such block.
    """
    before, _, after = _parts(document, name)
    document.write_text(f"{before}\n{text.strip()}\n\n{after}", encoding="utf-8")


def _parts(document: Path, name: str) -> tuple[str, str, str]:
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, found, rest = document.read_text(encoding="utf-8").partition(begin)
    inside, ended, after = rest.partition(end)
    if not (found and ended):
        raise SystemExit(f"{document} has no block {begin.strip()} … {end}")
    return before + begin, inside, end + after


def replaced(text: str, rows: list[list[str]]) -> list[list[str]]:
    """The rows of a Markdown table, those that begin with the same two cells as given ones replaced, others added."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")][2:]
    found = {tuple(line[:2]): line for line in [*lines, *rows]}
    return list(found.values())


def table(columns: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; columns of numbers stand to the right."""
    marks = ["---:" if all(cell[:1].isdigit() for cell in cells) else "---" for cells in zip(*rows, strict=True)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (columns, marks, *rows))
