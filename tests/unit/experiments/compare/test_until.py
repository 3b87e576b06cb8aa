"""Seeds are added until each claim is decided."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console as RichConsole

from kdrun.cli.commands import compare
from kdrun.console import Console
from kdrun.errors import ConfigError
from kdrun.experiments.compare import costs, until
from kdrun.experiments.compare.arms import Arm
from kdrun.experiments.compare.claims import Claim
from kdrun.experiments.compare.options import CompareOptions, Until
from kdrun.experiments.compare.replay import replay
from kdrun.experiments.compare.scores import Scores
from kdrun.experiments.compare.sequential import Looks

NOISE = np.random.default_rng(1).normal(0, 0.002, 200)
LEVELS = {"good": 0.9, "kd": 0.7, "close": 0.703, "broken": 0.5}
"""Mean score of each arm; the scores of `close` scatter, so that nothing is decided."""
CLAIMS = [Claim("good", "kd"), Claim("close", "kd")]
LOOKS = Looks(3, 5)


def score(arm: str, seed: int) -> float:
    return LEVELS[arm] + {"close": 0.03, "good": 0.001}.get(arm, 0.0) * (-1) ** seed + 0.0005 * (seed % 3)


def add_runs(scores: Scores, arms: Sequence[str], seeds: Sequence[int]) -> None:
    for arm in arms:
        for seed in seeds:
            if arm == "broken":
                scores.failed.add((arm, seed))
            else:
                scores.values[arm, seed] = score(arm, seed)
                scores.resampled[arm, seed] = score(arm, seed) + NOISE * len(arm)


class Runs:
    """Arms whose runs are only counted."""

    def __init__(self, names: Sequence[str]) -> None:
        self.arms = [Arm(name, name, []) for name in names]
        self.calls: list[tuple[list[str], list[int]]] = []
        self.scores = Scores()
        self.saved: list[int] = []

    def run(self, arms: Sequence[Arm], seeds: Sequence[int]) -> None:
        self.calls.append(([arm.name for arm in arms], list(seeds)))
        add_runs(self.scores, [arm.name for arm in arms], seeds)

    def save(self) -> None:
        self.saved.append(len(self.scores.common_seeds(Claim("close", "kd"))))


def run_until_decided(
    runs: Runs, claims: Sequence[Claim], monkeypatch: pytest.MonkeyPatch, measured: bool = True
) -> str:
    monkeypatch.setattr(costs, "print_cost", lambda *args: measured)
    text = io.StringIO()
    plan = until.Plan(runs.arms, claims, 0.01, LOOKS)
    until.run_until_decided(plan, runs.run, lambda: runs.scores, Console(RichConsole(file=text, width=200)), runs.save)
    return text.getvalue()


def test_arms_whose_claims_are_decided_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(["kd", "good", "close"])
    output = run_until_decided(runs, CLAIMS, monkeypatch)
    assert runs.calls[0] == (["kd", "good", "close"], [1, 2, 3])
    assert runs.calls[1:] == [(["close", "kd"], [4]), (["close", "kd"], [5])]
    assert runs.saved == [3, 4]  # the record of the last look is that of the finished comparison
    lines = output.splitlines()
    assert lines[0].startswith("after 3 seeds, good > kd: +20.0 points [")
    assert lines[0].endswith(": supported")
    assert [line.split(",")[0] for line in lines[1:]] == ["after 3 seeds", "after 4 seeds", "after 5 seeds"]
    assert all(line.endswith(": undecided") for line in lines[1:])


def test_without_measured_times_the_first_seed_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(["kd", "good"])
    run_until_decided(runs, CLAIMS[:1], monkeypatch, measured=False)
    assert [seeds for _, seeds in runs.calls] == [[1], [2, 3]]


def test_an_arm_that_always_fails_does_not_prolong_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(["kd", "broken"])
    output = run_until_decided(runs, [Claim("broken", "kd")], monkeypatch)
    assert len(runs.calls) == 1
    assert "undecided (no seed was finished by both)" in output


def test_verdicts_depend_on_no_seed_beyond_their_look() -> None:
    """A repeated command finds later seeds of some arms, and has the same verdicts."""
    scores = Scores()
    add_runs(scores, ["kd", "good", "close"], [1, 2, 3])
    first = replay(CLAIMS, scores, range(1, 6), 0.01, LOOKS)
    assert first.missing == [("close", 4), ("kd", 4)]
    add_runs(scores, ["kd", "good", "close"], [4, 5])
    second = replay(CLAIMS, scores, range(1, 6), 0.01, LOOKS)
    assert second.missing == []
    assert second.estimates[0] == first.estimates[0]
    assert second.judged.half_widths[0] == first.judged.half_widths[0]
    assert [len(look.claims) for look in second.looks] == [2, 1, 1]


def test_a_failed_seed_is_left_out_of_its_pair() -> None:
    scores = Scores()
    add_runs(scores, ["kd", "good"], [1, 2, 3, 4])
    del scores.values["good", 2]
    scores.failed.add(("good", 2))
    state = replay(CLAIMS[:1], scores, range(1, 6), 0.01, LOOKS)
    assert [look.judged.codes.tolist() for look in state.looks] == [[0], [1]]
    assert state.estimates[0].seeds == 3  # pyright: ignore[reportAttributeAccessIssue]


def test_numbers_of_seeds_are_checked_together() -> None:
    with pytest.raises(ConfigError, match=r"(?s)seeds=2.*max_seeds=1") as error:
        compare._check_seeds(CompareOptions(until=Until.decided, seeds=2, max_seeds=1))
    assert len(error.value.problems) == 2
    compare._check_seeds(CompareOptions(seeds=1))


def test_the_cost_is_that_of_runs_in_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = [Arm(name, "kd", ["method=kd", "task=sst2", f"output_dir={tmp_path}"], data_hash="rows") for name in "ab"]
    first, second = arms[0].config(1), arms[0].config(2)
    monkeypatch.setattr(Arm, "config", lambda arm, seed: first)
    key = (costs.config_hash(second), "code", "rows")  # of the only finished run, which both arms may reuse
    monkeypatch.setattr(costs, "code_digest", lambda: "code")
    monkeypatch.setattr(costs, "finished", lambda runs: {key: tmp_path})
    times = iter([60.0, None, 60.0, 120.0])
    monkeypatch.setattr(costs.run_times, "mean_seconds", lambda runs, config: next(times))
    text = io.StringIO()
    console = Console(RichConsole(file=text, width=200))
    assert not costs.print_cost(arms, [1, 2, 3], 20, console)
    assert "cost: 4 runs for the first 3 seeds of 2 arms, at most 38 runs for 20 seeds; times follow" in text.getvalue()
    assert costs.print_cost(arms, [1, 2, 3], 20, console)
    assert "about 6 min 0 s for the first, at most 57 min 0 s, as measured" in text.getvalue()
