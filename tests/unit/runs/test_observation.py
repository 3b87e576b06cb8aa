"""Observers of evaluations: trained shares over phases, and stops."""

import pytest

from kdrun import signals
from kdrun.config.optim import OptimConfig
from kdrun.methods.phases import Phase, Turn
from kdrun.runs.observation import observe_evaluations

OPTIM = OptimConfig(steps=10, batch_size=4)
PHASES = [
    Phase.from_steps("layers", (Turn("student", 1),), OPTIM, 30, evaluated=False),
    Phase.from_steps("labels", (Turn("generator", 1), Turn("student", 1)), OPTIM, 10),
]


def observed(reason: str | None) -> list[tuple[float, float | None]]:
    """Shares and scores that an observer receives in the evaluated phase, of 20 steps for both roles."""
    received: list[tuple[float, float | None]] = []

    def observer(share: float, score: float | None) -> str | None:
        received.append((share, score))
        return reason

    observe = observe_evaluations(observer, lambda scores: scores["dev"]["accuracy"], PHASES, rows=64)
    assert observe is not None
    for step, score in ((10, 0.5), (20, None)):
        observe({"phase": "labels", "step": step, "eval": {"dev": {"accuracy": score}}})
        if step == 10 and reason is not None:
            with pytest.raises(signals.StopEarly, match=reason):
                signals.raise_if_requested()
    return received


@pytest.mark.parametrize("reason", [None, "below the median"])
def test_shares_count_all_phases_and_the_last_evaluation_stops_nothing(reason: str | None) -> None:
    assert observed(reason) == [(0.8, 0.5), (1.0, None)]
    signals.raise_if_requested()


def test_no_observer_no_function() -> None:
    assert observe_evaluations(None, lambda scores: None, PHASES, rows=64) is None
