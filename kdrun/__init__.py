"""Knowledge-distillation experiments on language models, composed from configs."""

from __future__ import annotations

__version__ = "0.1.0"
