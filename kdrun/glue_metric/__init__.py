"""A metric of Hugging Face `evaluate` over `kdrun.metrics`; `evaluate.load` takes this folder's path."""
