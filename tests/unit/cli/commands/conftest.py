"""Fixtures: folders of finished runs and comparisons."""

from tests.helpers.finished_runs import make_comparison, make_run  # noqa: F401
