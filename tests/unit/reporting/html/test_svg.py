"""Plots as inline SVG."""

import re

import matplotlib
import pytest

from kdrun.reporting.html import interval_plots, plots
from kdrun.reporting.html.agreement import Bin, Calibration
from kdrun.reporting.html.curves import Span
from kdrun.reporting.html.interval_plots import Row
from kdrun.reporting.html.plots import Line
from kdrun.reporting.html.svg import drawing
from tests.helpers.finished_runs import Parsed

NASTY = '<script>alert(1)</script> & "$x_1$" url(#a) \x07 \ud800 中'


def every_plot(name: str) -> list[str]:
    """One of each kind, with the name wherever a name from data goes."""
    line = Line(name, list(range(1000)), [float(i % 7) for i in range(1000)])
    spans = [Span(name, 0, 500), Span("b", 500, 999)]
    row = Row(name, [0.1, 0.2], 0.15, (0.05, 0.25))
    calibration = Calibration(0.1, [Bin(0.6, 0.5, 10), Bin(0.9, 0.95, 30)])
    values = plots.np.linspace(0, 5, 30)
    with drawing():
        return [
            plots.bars(name, [(name, 0.5, 0), ("n/a", None, 1), ("below", -0.2, 2)]),
            plots.curves(name, [line, Line("b", [1], [2.0], 1)], spans, spans, (1, 2.0, name))[0],
            plots.reliability([("teacher", calibration), ("student", calibration)]),
            plots.scatter(name, values, values[::-1], (name, name), 0, name),
            interval_plots.dots(name, [row, Row("single", [0.3], 0.3, None, 1)], (name, 0.4), "accuracy"),
            interval_plots.differences(name, [row, Row("b", [], 0.0, None)], 0.05, "accuracy"),
        ]


@pytest.fixture(scope="module")
def nasty() -> list[str]:
    return every_plot(NASTY)


def test_names_from_data_are_text_and_nothing_else(nasty: list[str]) -> None:
    count = 0
    for svg in nasty:
        parsed = Parsed(svg)
        assert not parsed.all("script")
        assert {tag for tag, _ in parsed.tags} <= {
            "svg",
            "title",
            "desc",
            "g",
            "defs",
            "path",
            "use",
            "text",
            "clippath",
            "rect",
        }
        count += parsed.text.count("<script>alert(1)</script> &")
        assert "\x07" not in svg
        svg.encode()  # half a surrogate pair would raise
    assert count >= 10


def test_plots_have_text_descriptions(nasty: list[str]) -> None:
    for svg in nasty:
        (root,) = Parsed(svg).all("svg")
        assert root["role"] == "img"
        assert len(root["aria-label"] or "") > 20


def test_ids_are_unique_over_plots_and_all_that_is_referred_to_is_there(nasty: list[str]) -> None:
    others = [svg for svg in every_plot("plain") if svg not in nasty]  # equal plots may share what they define
    parsed = Parsed("".join([*nasty, *others]))
    ids = parsed.values("id")
    assert len(ids) == len(set(ids)) > 6
    named = [
        *re.findall(r"url\(#(.*?)\)", " ".join(parsed.values("clip-path"))),
        *(h[1:] for h in parsed.values("href")),
        *parsed.values("aria-describedby"),
    ]
    assert set(named) == set(ids)


def test_colors_follow_the_page(nasty: list[str]) -> None:
    for svg in nasty:
        assert not re.findall(r"#[0-9a-f]{6}\b", " ".join(Parsed(svg).values("style")))
        assert "var(--c" in svg
        assert "font-family" not in svg
        assert "<metadata" not in svg
        assert "<style" not in svg


def test_the_same_figure_gives_the_same_bytes() -> None:
    assert every_plot("a") == every_plot("a")


def test_long_curves_are_thinned() -> None:
    with drawing():
        few, one = plots.curves("a", [Line("a", list(range(200)), [0.5 * i % 3 for i in range(200)])])
        many, hundreds = plots.curves("a", [Line("a", list(range(200_000)), [0.5 * i % 3 for i in range(200_000)])])
    assert (one, hundreds) == (1, 834)
    assert len(many) < 3 * len(few)


def test_settings_of_the_user_return() -> None:
    before = dict(matplotlib.rcParams)
    with drawing():
        assert matplotlib.rcParams["svg.fonttype"] == "none"
    assert dict(matplotlib.rcParams) == before
