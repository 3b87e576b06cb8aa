"""Read YAML of others: bounded in size, depth and expanded aliases."""

from __future__ import annotations

from typing import Any

import yaml

MAX_BYTES = 1_000_000
MAX_DEPTH = 50
MAX_NODES = 100_000
"""Most values of a document with each alias (`*name`) counted as often as a reader would visit its node."""
MAX_DIGITS = 1000
"""Most characters of a number: reading one takes quadratic time."""

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(text: str) -> Any:
    """The content of a YAML document.

    Raises:
        ValueError: the text is not YAML, or exceeds a limit.
    """
    size = len(text.encode(errors="replace"))
    if size > MAX_BYTES:
        raise ValueError(f"has {size} bytes, more than {MAX_BYTES}")
    try:
        _check_limits(text)
        return yaml.load(text, Loader=LOADER)  # noqa: S506 — a safe loader
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())[:200]) from None


def _check_limits(text: str) -> None:
    """Refuse a document before it is built: nested too deeply, or with aliases that multiply."""
    sizes: dict[str, tuple[int, int]] = {}
    """Anchor → nodes and height of its finished node."""
    open_nodes: list[_OpenNode] = []
    total = 0
    for event in yaml.parse(text, Loader=LOADER):
        size = height = 0
        anchor: str | None = None
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"has the alias *{event.anchor} inside of its own node, or without one")
            size, height = sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            _check_number(event)
            size, height, anchor = 1, 0, event.anchor
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append(_OpenNode(event.anchor))
        elif isinstance(event, yaml.CollectionEndEvent):
            node = open_nodes.pop()
            size, height, anchor = node.size, node.height, node.anchor
        if anchor is not None:
            sizes[anchor] = size, height
        if open_nodes:
            open_nodes[-1].size += size
            open_nodes[-1].height = max(open_nodes[-1].height, height + 1)
        total = max(total, size, sum(node.size for node in open_nodes))
        if total > MAX_NODES:
            raise ValueError(f"has more than {MAX_NODES} values, with its aliases (*name) replaced by their content")
        if len(open_nodes) + height > MAX_DEPTH:
            raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")


class _OpenNode:
    """A mapping or list that has begun: its anchor, its nodes so far, and the height of those below it."""

    def __init__(self, anchor: str | None) -> None:
        self.anchor, self.size, self.height = anchor, 1, 0


def _check_number(event: yaml.ScalarEvent) -> None:
    if event.implicit[0] and len(event.value) > MAX_DIGITS and event.value.strip("+-.:_")[:1].isdigit():
        raise ValueError(f"has a number of {len(event.value)} characters, more than {MAX_DIGITS}")
