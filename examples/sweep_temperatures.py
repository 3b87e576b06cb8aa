"""Distill at several temperatures from Python and print the scores.

python examples/sweep_temperatures.py [OVERRIDE …]
"""

from __future__ import annotations

import sys

import kdrun


def main(overrides: list[str]) -> dict[float, float | None]:
    """Run once per temperature.

    Args:
        overrides: further overrides of every run, as on the command line.

    Returns:
        Dev accuracy of the student by temperature.
    """
    scores = {}
    for temperature in (1.0, 2.0, 4.0):
        result = kdrun.run(["method=kd", "task=sst2", f"method.temperature={temperature}", *overrides])
        assert result is not None  # only a dry run has none
        scores[temperature] = result["student"]["metrics"]["dev"]["accuracy"]
    return scores


if __name__ == "__main__":
    for temperature, accuracy in main(sys.argv[1:]).items():
        print(f"T = {temperature:g}: accuracy {accuracy:.4f}")
