"""Checks and measurements of kdrun on a GPU, one module per part."""
