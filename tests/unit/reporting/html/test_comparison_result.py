"""First screen of a comparison's page."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdrun.reporting.html import comparison_result, report
from kdrun.reporting.html.arms import make_arms
from kdrun.reporting.html.blocks import Code, Facts, Panels, Verdicts
from kdrun.reporting.html.svg import drawing
from tests.helpers.finished_runs import Parsed, record

Make = Callable[..., Path]
CLAIMS = [
    {"a": "mate_kd", "b": "kd", "outcome": "supported", "text": "mate_kd > kd: supported, +3.0 [+1.7, +4.4]."},
    {"a": "mate_kd", "b": "finetune", "outcome": "undecided", "text": "mate_kd > finetune: undecided."},
]


def three_arms(**changes: Any) -> dict[str, Any]:
    """A comparison with claims, and one pair that is no claim."""
    comparison = record(rows=2693, tuned=0, sequential=None)
    kd, finetune = comparison["arms"]
    scores = {"1": 0.88, "2": 0.89, "3": 0.87, "4": 0.88}
    mate_kd = kd | {"name": "mate_kd", "words": ["method=mate_kd"], "scores": scores, "mean": 0.88}
    pair = comparison["pairs"][0]
    pairs = [
        pair | {"a": "kd", "b": "mate_kd", "word": "LOSES", "difference": -0.03, "interval": [-0.044, -0.017]},
        pair | {"a": "mate_kd", "b": "finetune", "word": "INCONCLUSIVE", "difference": 0.02, "interval": [-0.01, 0.05]},
        pair,
    ]
    return comparison | {"arms": [kd, finetune, mate_kd], "pairs": pairs, "claims": CLAIMS} | changes


def blocks(comparison: dict[str, Any]) -> list[Any]:
    with drawing():
        return comparison_result.result_blocks(comparison, make_arms([(arm["name"], []) for arm in comparison["arms"]]))


def test_the_first_screen_has_claims_one_plot_effort_and_command() -> None:
    verdicts, plot, facts, command = blocks(three_arms())
    assert isinstance(verdicts, Verdicts)
    assert [(line.verdict, line.text) for line in verdicts.items] == [
        ("SUPPORTED", CLAIMS[0]["text"]),
        ("UNDECIDED", CLAIMS[1]["text"]),
    ]
    assert isinstance(plot, Panels)
    assert isinstance(facts, Facts)
    assert dict(facts.pairs) == {
        "judged on": "SST-2, dev, 2\N{NARROW NO-BREAK SPACE}693 rows",
        "runs": "10 runs: kd 3 seeds, finetune 3 seeds and mate_kd 4 seeds",
        "training": "95 s",
        "student": "bert 2x64",
        "teacher": "bert 2x128 93.0 %",
        "tuning": "untuned",
    }
    assert command == Code("kdrun compare method=kd")


def test_the_plot_shows_claims_in_their_direction_and_names_its_content() -> None:
    plot = blocks(three_arms())[1]
    scores, differences = (Parsed(svg) for svg in plot.plots)
    assert [svg.all("svg")[0]["aria-label"] for svg in (scores, differences)] == [
        "Scores by seed: accuracy on dev",
        "Intervals of differences of accuracy on dev, in points",
    ]
    for svg in (scores, differences):
        (desc,) = svg.all("desc")
        assert desc["id"] == svg.all("svg")[0]["aria-describedby"]
    assert "mate_kd: mean 88.0 % of 88.0, 89.0, 87.0, 88.0" in scores.text
    assert "teacher 93.0 %" in scores.text
    described = differences.text.replace("\N{EN SPACE}", " ")
    assert "mate_kd − kd +3.0 supported, +1.7 to +4.4" in described
    assert "mate_kd − finetune +2.0 undecided, −1.0 to +5.0; the margin of a tie is ± 0.5" in described
    assert "kd − finetune" not in described.replace("mate_kd − finetune", "")


def test_other_pairs_are_below_the_first_screen(make_comparison: Make) -> None:
    path = report.write_comparison_report(make_comparison(with_runs=False, **three_arms()))
    first, rest = path.read_text(encoding="utf-8").split('<section id="reading"')
    assert "kd beats finetune" not in Parsed(first).text
    assert "BEATS kd beats finetune: difference +4.0" in Parsed(f"<section {rest}").text
    assert "contradicted if it LOSES or TIES" in Parsed(f"<section {rest}").text
    assert len(re.findall("<svg", first)) == 2


def test_records_without_claims_show_methods_against_baselines() -> None:
    comparison = three_arms(command="kdrun compare method=mate_kd", claims=None)
    verdicts = blocks(comparison)[0]
    assert [(line.verdict, line.text.partition(":")[0]) for line in verdicts.items] == [
        ("BEATS", "mate_kd beats kd"),
        ("INCONCLUSIVE", "mate_kd against finetune"),
    ]
    comparison = three_arms(command="kdrun compare baselines=[] method=a,b", claims=None)
    assert len(blocks(comparison)[0].items) == 3


@pytest.mark.parametrize(
    ("changes", "name", "text"),
    [
        ({"tuned": 8}, "tuning", "tuned, 8 trials each"),
        (
            {"sequential": {"rule": "Lan-DeMets", "first_look": 3, "max_seeds": 20, "seeds": {}}},
            "seeds added",
            "until decided, from 3 to at most 20: Lan-DeMets",
        ),
        ({"teacher": None}, "teacher", "none"),
        ({"rows": None, "data_name": None}, "judged on", "sst2, dev"),
        ({"split": "held_out", "rows_text": "2504 held-out rows"}, "judged on", "SST-2, held_out, 2504 held-out rows"),
    ],
)
def test_facts(changes: dict[str, Any], name: str, text: str) -> None:
    assert text in dict(comparison_result.effort(three_arms(**changes)))[name]


def test_a_comparison_without_results_has_a_first_screen() -> None:
    arms = [arm | {"scores": {}, "mean": None, "failed": {"1": "OSError"}} for arm in record()["arms"]]
    comparison = record(arms=arms, pairs=[], claims=[])
    texts = [getattr(block, "text", "") for block in blocks(comparison)]
    assert "No pair was compared" in texts[0]
    assert "n/a (no run finished)." in texts
    assert dict(comparison_result.effort(comparison))["runs"] == "0 runs, 2 more failed: 2 arms, 0 seeds each"
