"""Phases and costs on the card of a method."""

from kdrun.cli.explain import method_card
from kdrun.cli.explain.notes import Docs, read_docstring
from kdrun.methods.kd import KD


def test_an_entry_of_differences_names_a_setting_or_a_key() -> None:
    assert method_card.switch("divergence") == "method.divergence"
    assert method_card.switch("optim.batch_size") == "optim.batch_size"
    assert method_card.switch("") == "no switch"


def test_costs_are_compared_with_plain_distillation_role_by_role() -> None:
    control = read_docstring(KD).sections["Cost"]
    costs = [("generator", "one pass"), *control[:1]]
    block = method_card._cost("mine", Docs([], {"Cost": costs}))
    entries = dict(block.entries)
    assert entries["generator"] == ["one pass", "kd: none"]
    role, text = control[0]
    assert entries[role] == [text, "kd: the same"]
    assert set(entries) == {"generator", *dict(control)}  # also the roles that only kd has
    assert [texts for _, texts in method_card._cost("kd", Docs([], {"Cost": costs})).entries] == [
        ["one pass"],
        [text],
    ]
