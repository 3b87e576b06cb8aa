"""Finished runs for the tests in a browser."""

from tests.helpers.finished_runs import make_comparison, make_run  # noqa: F401
