"""Experiments of several runs: sweeps and comparisons."""
