"""kdrun: knowledge-distillation experiments on language models, composed from configs."""

__version__ = "0.1.0"
