"""Rows of tasks: sources, splits, tokens, batches."""
