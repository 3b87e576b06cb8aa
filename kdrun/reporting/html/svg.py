"""Matplotlib figures as inline SVG."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER, BAND = "#010101", "#010102", "#010103", "#010104", "#010105"
SERIES = tuple(f"#0101{number:02x}" for number in range(16, 24))
"""Placeholder colors; each is replaced by a variable of the page's style."""
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--paper", BAND: "--band"} | {
    color: f"--c{number}" for number, color in enumerate(SERIES, start=1)
}
SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "kdrun",
    "text.parse_math": False,  # a dollar sign in a label starts no formula
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
    "font.size": 11.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "path.simplify": True,
}


@contextmanager
def drawing() -> Iterator[None]:
    """Apply Matplotlib's settings for a page's plots, and restore the user's afterwards."""
    import matplotlib
    from cycler import cycler

    with matplotlib.rc_context(), warnings.catch_warnings():
        # the browser has the glyphs that Matplotlib's font lacks
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .*missing from font")
        matplotlib.rcdefaults()
        settings: Any = SETTINGS | {"axes.prop_cycle": cycler(color=SERIES)}
        matplotlib.rcParams.update(settings)
        yield


def to_svg(figure: Figure, label: str, description: str = "") -> Markup:
    """Convert a figure to an `<svg>` element.

    Args:
        figure: drawn inside `drawing()` with the colors of this module.
        label: name of the figure for readers who cannot see it, with its content if there is no description.
        description: its content for these readers.

    Returns:
        Markup without network references, scripts or dates; the same figure gives the same markup.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_text(_clean(text.get_text()))
    label, description, buffer = _clean(label), _clean(description), io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    raw = buffer.getvalue()
    prefix = "f" + hashlib.sha256((label + description + raw).encode()).hexdigest()[:8]
    root = ElementTree.fromstring(raw)  # noqa: S314 — output of Matplotlib
    _tidy(root, prefix)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"class": "plot", "role": "img", "aria-label": label}
    for place, (tag, text) in enumerate([("title", label), ("desc", description)]):
        if text:
            element = ElementTree.Element(tag)
            element.text = text
            root.insert(place, element)
    if description:
        root[1].set("id", f"{prefix}-desc")
        root.set("aria-describedby", f"{prefix}-desc")
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 — escaped by the serializer


def _clean(text: str) -> str:
    """Replace the characters that XML cannot hold."""
    return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _tidy(root: ElementTree.Element, prefix: str) -> None:
    """Strip namespaces, unused ids and style sheets; prefix the used ids; replace colors by variables."""
    for parent in root.iter():
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    used = set(re.findall(r"#([\w.-]+)", " ".join(v for e in root.iter() for v in _references(e))))
    for element in root.iter():
        element.tag = element.tag.split("}")[-1]
        element.tail = None
        if element.tag != "text":
            element.text = None
        for name in list(element.attrib):
            _tidy_attribute(element, name, used, prefix)


def _references(element: ElementTree.Element) -> list[str]:
    return [value for name, value in element.attrib.items() if name.endswith("href") or value.startswith("url(#")]


def _tidy_attribute(element: ElementTree.Element, name: str, used: set[str], prefix: str) -> None:
    value = element.attrib.pop(name)
    plain = name.split("}")[-1]
    if plain == "id":
        if value in used:
            element.set("id", f"{prefix}-{value}")
    elif plain == "href" or value.startswith("url(#"):
        element.set(plain, value.replace("#", f"#{prefix}-"))
    elif plain == "style":
        element.set("style", _style(value))
    elif plain == "d":
        element.set("d", re.sub(r"(\.\d\d)\d+", r"\1", " ".join(value.split())))
    elif plain == "transform" and value.startswith("rotate(-0 "):
        return
    else:
        element.set(plain, value)


def _style(value: str) -> str:
    parts = [part for part in value.split("; ") if not part.startswith("font-family")]
    return re.sub(r"#[0-9a-f]{6}", lambda match: f"var({VARIABLES[match[0]]})", "; ".join(parts))
