"""Render a page as one HTML file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from kdrun.reporting.html.blocks import Page
from kdrun.storage.files import write_atomic

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATES = Path(__file__).parent / "templates"


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")


def render(page: Page) -> str:
    """Return the HTML of a page; the same page gives the same bytes."""
    css = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))  # noqa: S704 — a file of this package
    html = _template().render(page=page, style=css)
    # JSON can hold half of a surrogate pair, which has no UTF-8 encoding
    return html.encode("utf-8", "replace").decode("utf-8")


def write_page(page: Page, path: Path) -> Path:
    """Write a page atomically; missing folders are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, render(page))
    return path
