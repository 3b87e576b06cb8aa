"""Collapse of a generator."""

import pytest
import torch

from kdrun.generation.collapse import MIN_TEXTS, CollapseGuard, CollapseLimits, CollapseMonitor, CollapseReport

LABELS = ["bad", "good"]


def judged(
    made: list[int], wanted: list[int], source: list[int], *, same: bool = False, empty: bool = False
) -> CollapseReport | None:
    """The verdict on so many texts of three words."""
    watch = CollapseMonitor(CollapseLimits(), LABELS)
    ids = torch.zeros(len(made), 3, dtype=torch.long) if same else torch.arange(3 * len(made)).view(-1, 3)
    changed = torch.full((len(made), 3), not empty)
    watch.update(torch.tensor(wanted), torch.tensor(made), torch.tensor(source), ids, changed)
    return watch.assess()


MIXED = [0, 1] * 50


def test_good_text_has_no_complaint_and_its_agreement() -> None:
    found = judged(MIXED, MIXED, MIXED)
    assert found == CollapseReport(1.0, "")


def test_agreement_is_a_mean_over_the_wanted_classes() -> None:
    """All of one class is half of two classes, however often that class was wanted."""
    found = judged([1] * 100, [1] * 90 + [0] * 10, MIXED)
    assert found is not None
    assert found.agreement == 0.5


def test_one_class_is_a_collapse() -> None:
    found = judged([1] * 99 + [0], MIXED, MIXED)
    assert found is not None
    assert "99.0% of its last 100 texts as good" in found.collapse


def test_one_class_is_none_where_the_corpus_is_of_that_class_too() -> None:
    found = judged([1] * 99 + [0], MIXED, [1] * 99 + [0])
    assert found is not None
    assert found.collapse == ""


def test_one_text_is_a_collapse() -> None:
    found = judged(MIXED, MIXED, MIXED, same=True)
    assert found is not None
    assert "only 1 of its last 100 texts are different (1.0%)" in found.collapse


def test_no_text_is_a_collapse() -> None:
    found = judged(MIXED, MIXED, MIXED, empty=True)
    assert found is not None
    assert "100.0% of its last 100 texts are empty" in found.collapse


def test_texts_that_differ_in_the_source_alone_are_the_same() -> None:
    watch = CollapseMonitor(CollapseLimits(), LABELS)
    ids, changed = torch.arange(300).view(100, 3), torch.zeros(100, 3, dtype=torch.bool)
    ids[:, 1], changed[:, 1] = 7, True
    mixed = torch.tensor(MIXED)
    watch.update(mixed, mixed, mixed, ids, changed)
    found = watch.assess()
    assert found is not None
    assert "only 1 of" in found.collapse


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
