"""Switch downloads off in every Hugging Face library.

The libraries read environment variables when they are imported, and keep the values in module constants. So the
constants of imported libraries are set too. The environment serves libraries that are imported later, and subprocesses.
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
"""Modules and their constants; transformers calls huggingface_hub and needs no entry."""

REASON = "downloads are off (offline=true, or HF_HUB_OFFLINE=1)"
"""The start of a message about a missing file."""


def is_offline() -> bool:
    """Whether downloads are off, by `offline_mode` or by the environment (HF_HUB_OFFLINE=1)."""
    from huggingface_hub import constants

    return constants.is_offline_mode()


@contextmanager
def offline_mode(enabled: bool) -> Iterator[None]:
    """Switch downloads off inside the context, if `enabled`; otherwise change nothing."""
    if not enabled:
        yield
        return
    was_offline = is_offline()
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
        for module, name in _imported():  # a library imported inside the context read the changed environment
            setattr(sys.modules[module], name, before.get((module, name), was_offline))


def _imported() -> list[tuple[str, str]]:
    return [(module, name) for module, name in SWITCHES if module in sys.modules]
