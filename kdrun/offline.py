"""`offline=true`: the libraries that know the hub look into their caches only, and open no socket.

They keep their switches where they were imported, so these are set too, beside the environment that libraries which
are imported later, and processes that are started, read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from kdrun.config import Config, Tracker

P = ParamSpec("P")
R = TypeVar("R")

SWITCHES = (
    ("huggingface_hub.constants", "HF_HUB_OFFLINE"),
    ("datasets.config", "HF_HUB_OFFLINE"),
    ("datasets.config", "HF_DATASETS_OFFLINE"),
    ("evaluate.config", "HF_EVALUATE_OFFLINE"),
)
"""Modules and their names for it; transformers asks huggingface_hub each time."""

WHY = "downloads are off (offline=true, or HF_HUB_OFFLINE=1)"
"""Begins what is said of a file that is not here."""


def problems(config: Config) -> Iterator[str]:
    """What a config asks for that takes a network by its nature."""
    if config.offline and config.tracker not in (Tracker.none, Tracker.tensorboard):
        name = config.tracker.value
        yield f"tracker={name} talks to a server, and offline=true opens no socket; tracker=tensorboard writes files"


def is_on() -> bool:
    """Whether nothing may be downloaded: by `switched`, or by the environment (HF_HUB_OFFLINE=1)."""
    from huggingface_hub import constants

    return constants.is_offline_mode()


@contextmanager
def switched(on: bool) -> Iterator[None]:
    """Download nothing inside, if `on`; otherwise all stays as it was outside, or as the environment says."""
    if not on:
        yield
        return
    outside = is_on()
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


def heeded(carry_out: Callable[Concatenate[Config, P], R]) -> Callable[Concatenate[Config, P], R]:
    """What is done with a config, its first argument, done as `offline` there says."""

    @wraps(carry_out)
    def heeding(config: Config, *args: P.args, **kwargs: P.kwargs) -> R:
        with switched(config.offline):
            return carry_out(config, *args, **kwargs)

    return heeding


def _imported() -> list[tuple[str, str]]:
    return [(module, name) for module, name in SWITCHES if module in sys.modules]
