"""Collapse of a generator."""

import pytest
import torch

from kdrun.generation.collapse import MIN_TEXTS, CollapseGuard, CollapseLimits, CollapseMonitor, CollapseReport

LABELS = ["bad", "good"]


def report_on(
    predicted: list[int], target: list[int], source: list[int], *, same: bool = False, empty: bool = False
) -> CollapseReport | None:
    """Return the report on as many texts of three words."""
    watch = CollapseMonitor(CollapseLimits(), LABELS)
    ids = torch.zeros(len(predicted), 3, dtype=torch.long) if same else torch.arange(3 * len(predicted)).view(-1, 3)
    changed = torch.full((len(predicted), 3), not empty)
    watch.update(torch.tensor(target), torch.tensor(predicted), torch.tensor(source), ids, changed)
    return watch.assess()


MIXED = [0, 1] * 50


def test_good_text_has_no_complaint_and_its_agreement() -> None:
    report = report_on(MIXED, MIXED, MIXED)
    assert report == CollapseReport(1.0, "")


def test_agreement_is_a_mean_over_the_wanted_classes() -> None:
    """All of one class is half of two classes, however often that class was wanted."""
    report = report_on([1] * 100, [1] * 90 + [0] * 10, MIXED)
    assert report is not None
    assert report.agreement == 0.5


def test_one_class_is_a_collapse() -> None:
    report = report_on([1] * 99 + [0], MIXED, MIXED)
    assert report is not None
    assert "99.0% of its last 100 texts as good" in report.collapse


def test_one_class_is_no_collapse_if_the_corpus_has_only_that_class() -> None:
    report = report_on([1] * 99 + [0], MIXED, [1] * 99 + [0])
    assert report is not None
    assert report.collapse == ""


def test_one_text_is_a_collapse() -> None:
    report = report_on(MIXED, MIXED, MIXED, same=True)
    assert report is not None
    assert "only 1 of its last 100 texts are different (1.0%)" in report.collapse


def test_no_text_is_a_collapse() -> None:
    report = report_on(MIXED, MIXED, MIXED, empty=True)
    assert report is not None
    assert "100.0% of its last 100 texts are empty" in report.collapse


def test_texts_that_differ_in_the_source_alone_are_the_same() -> None:
    watch = CollapseMonitor(CollapseLimits(), LABELS)
    ids, changed = torch.arange(300).view(100, 3), torch.zeros(100, 3, dtype=torch.bool)
    ids[:, 1], changed[:, 1] = 7, True
    mixed = torch.tensor(MIXED)
    watch.update(mixed, mixed, mixed, ids, changed)
    report = watch.assess()
    assert report is not None
    assert "only 1 of" in report.collapse


@pytest.mark.parametrize("count", [MIN_TEXTS - 1, MIN_TEXTS])
def test_a_handful_is_not_judged_and_waits_for_more(count: int) -> None:
    watch = CollapseMonitor(CollapseLimits(), LABELS)
    for _ in range(2):
        classes = torch.zeros(count, dtype=torch.long)
        watch.update(classes, classes, classes, classes[:, None], torch.ones(count, 1, dtype=torch.bool))
        if count == MIN_TEXTS:
            assert watch.assess() is not None
            assert watch.num_texts == 0
            return
        assert watch.num_texts in (count, 2 * count)
        assert (watch.assess() is None) == (watch.num_texts == count)


def test_a_generator_that_collapses_before_it_was_measured_goes_back_to_where_it_came_from() -> None:
    model = torch.nn.Linear(2, 2)
    came = model.weight.detach().clone()
    guard = CollapseGuard(model, CollapseLimits(), LABELS)
    with torch.no_grad():
        model.weight.add_(1)
    ones = torch.ones(100, dtype=torch.long)
    guard.monitor.update(
        torch.tensor(MIXED), ones, torch.tensor(MIXED), torch.arange(100)[:, None], ones[:, None].bool()
    )
    assert "the last good generator (initial weights)" in guard.check()
    assert torch.equal(model.weight, came)


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        (CollapseLimits(largest_class=0.4), "as bad"),
        (CollapseLimits(fewest_distinct=1.0), "are different"),
        (CollapseLimits(most_empty=0.0), "are empty"),
    ],
)
def test_each_limit_decides(limits: CollapseLimits, problem: str) -> None:
    """Text within the default limits: half of one class, half repeated, a third empty."""
    predicted, ids = torch.tensor([0, 0, 1] * 30), (torch.arange(90) // 2)[:, None].repeat(1, 2)
    changed = torch.ones_like(ids, dtype=torch.bool)
    changed[::3] = False
    for chosen, expected in ((limits, problem), (CollapseLimits(), "")):
        monitor = CollapseMonitor(chosen, LABELS)
        monitor.update(predicted, predicted, torch.tensor([0, 1, 1] * 30), ids, changed)
        report = monitor.assess()
        assert report is not None
        assert expected in report.collapse
        assert bool(report.collapse) == bool(expected)
