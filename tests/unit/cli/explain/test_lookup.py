"""Cards found for a name."""

import pytest

from kdrun.cli.explain import lookup


def titles(name: str) -> list[str]:
    return [card.title for card in lookup.find_cards(name)]


def test_a_name_of_several_axes_has_several_cards() -> None:
    assert {"preset=embedded", "corpus=embedded"} <= set(titles("embedded"))
    assert titles("preset=embedded") == ["preset=embedded"]


def test_a_choice_comes_before_a_key_with_the_same_name_and_an_axis_before_both() -> None:
    assert titles("method") == ["method"]
    assert titles("seed") == ["seed"]


def test_old_keys_lead_to_the_current_ones() -> None:
    assert titles("optim.accumulate") == ["optim.gradient_accumulation_steps"]


def test_metrics_have_a_listing_and_cards() -> None:
    assert titles("metric") == ["metric"]
    assert titles("macro_f1") == ["macro_f1"]


@pytest.mark.parametrize(
    ("name", "hint"), [("method=kdd", "'kd'"), ("optim.lrr", "'optim.lr'"), ("loss=kll", "kdrun explain loss")]
)
def test_an_unknown_name_suggests_where_to_look(name: str, hint: str) -> None:
    with pytest.raises(lookup.UnknownNameError, match=hint) as error:
        lookup.find_cards(name)
    assert error.value.code == 2
