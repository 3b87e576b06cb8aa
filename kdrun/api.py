"""Run an experiment from Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdrun.storage.run_result import RunResult


def run(overrides: Sequence[str] = ()) -> RunResult | None:
    """Run one experiment, as `kdrun OVERRIDE …` does.

    Args:
        overrides: as on the command line, e.g. `["method=kd", "task=sst2", "preset=smoke"]`.

    Returns:
        The content of result.json; None for a dry run.

    Raises:
        ConfigError: with every problem of the overrides.
        KdrunError: another problem that the user can fix.
    """
    from kdrun.config.compose import load_config
    from kdrun.runs import runner

    return runner.run(load_config([*overrides]), overrides=overrides)
