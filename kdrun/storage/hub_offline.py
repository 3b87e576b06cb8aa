"""Switch downloads off in every Hugging Face library.

They keep their switches where they were imported, so these are set too, beside the environment that libraries which
are imported later, and processes that are started, read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SWITCHES = (
    ("huggingface_hub.constants", "HF_HUB_OFFLINE"),
    ("datasets.config", "HF_HUB_OFFLINE"),
    ("datasets.config", "HF_DATASETS_OFFLINE"),
    ("evaluate.config", "HF_EVALUATE_OFFLINE"),
)
"""Modules and their names for it; transformers asks huggingface_hub each time."""

WHY = "downloads are off (offline=true, or HF_HUB_OFFLINE=1)"
"""Begins what is said of a file that is not here."""


def is_offline() -> bool:
    """Whether nothing may be downloaded: by `switched`, or by the environment (HF_HUB_OFFLINE=1)."""
    from huggingface_hub import constants

    return constants.is_offline_mode()


@contextmanager
def offline_mode(on: bool) -> Iterator[None]:
    """Download nothing inside, if `on`; otherwise all stays as it was outside, or as the environment says."""
    if not on:
        yield
        return
    outside = is_offline()
    before = {switch: getattr(sys.modules[switch[0]], switch[1]) for switch in _imported()}
    variables = {name: os.environ.get(name) for _, name in SWITCHES}
    os.environ.update(dict.fromkeys(variables, "1"))
    for module, name in before:
        setattr(sys.modules[module], name, True)
    try:
        yield
    finally:
        for name, value in variables.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        for module, name in _imported():  # one that was imported inside read the switches of inside
            setattr(sys.modules[module], name, before.get((module, name), outside))


def _imported() -> list[tuple[str, str]]:
    return [(module, name) for module, name in SWITCHES if module in sys.modules]
