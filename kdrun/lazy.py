"""Modules that are imported on their first use.

`kdrun --help`, `kdrun explain` and a mistyped override read what methods declare, and none of that needs torch, which
takes seconds to load. A module on that way names such imports once for the type checker and once for the run:

    if TYPE_CHECKING:
        import torch
    else:
        torch = lazy_module("torch")
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """Stand-in for a module; the first attribute that is read imports it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


def lazy_module(name: str) -> Any:
    """Stand-in for a module, imported on its first use.

    Args:
        name: dotted and absolute, e.g. `kdrun.generation.masking`.

    Returns:
        An object whose attributes are those of the module. A missing module raises ImportError on first use.
    """
    return LazyModule(name)
