"""Knowledge-distillation experiments on language models, composed from configs."""

from kdrun.api import run
from kdrun.version import __version__

__all__ = ["__version__", "run"]
