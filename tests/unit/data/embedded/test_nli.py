"""Grammars of the inference tasks: labels derived again from the text alone."""

from __future__ import annotations

import re

import pytest

from kdrun.data.embedded.generate import clean_drafts

SIZES_OF_NOUNS = ("small", "young", "quiet", "hungry", "tired", "old")
# Sorts of individuals: has the size, did the action, did it in the manner of the adverb.
INDIVIDUALS = [(size, did, manner) for size in (0, 1) for did, manner in ((0, 0), (1, 0), (1, 1))]
WORLDS = [
    [individual for bit, individual in enumerate(INDIVIDUALS) if mask >> bit & 1]
    for mask in range(1 << len(INDIVIDUALS))
    if any(individual[0] for bit, individual in enumerate(INDIVIDUALS) if mask >> bit & 1)
]


def claim(text: str) -> tuple[str, bool, str, str, bool]:
    """Quantifier, whether a size is named, noun, verb, and whether an adverb is named."""
    words = text.rstrip(".").split()
    sized = words[1] in SIZES_OF_NOUNS
    return words[0], sized, words[1 + sized], words[2 + sized], len(words) > 3 + sized


def holds(parts: tuple[str, bool, str, str, bool], world: list[tuple[int, int, int]]) -> bool:
    """Whether a quantified claim is true in a small world where its noun exists."""
    quantifier, sized, _, _, manner = parts
    actions = [bool(one[2] if manner else one[1]) for one in world if one[0] or not sized]
    if quantifier == "every":
        return all(actions)
    return any(actions) == (quantifier == "some")


@pytest.mark.parametrize("split", ["dev", "dev_mismatched"])
def test_mnli_labels_are_correct_in_all_small_worlds(split: str) -> None:
    for draft in clean_drafts("mnli", split, 0, 500):
        first, second = claim(draft.text), claim(draft.text_pair or "")
        outcomes = {holds(second, world) for world in WORLDS if holds(first, world)}
        expected = 1 if len(outcomes) == 2 else (0 if outcomes == {True} else 2)
        if first[2:4] != second[2:4]:
            expected = 1
        assert draft.label == expected, draft


def test_rte_labels_follow_the_implied_outcome() -> None:
    outcome = re.compile(r"(\w+) (managed|remembered|was able|forgot|failed|refused) to .*")
    count = 0
    for draft in clean_drafts("rte", "dev", 0, 500):
        if match := outcome.fullmatch(draft.text):
            done = match[2] in ("managed", "remembered", "was able")
            claimed = " never " not in (draft.text_pair or "")
            assert draft.label == int(done != claimed)
            count += 1
        elif match := re.fullmatch(r"(\w+) was (\w+) by (\w+)[.]", draft.text_pair or ""):
            assert draft.label == int(not draft.text.startswith(f"{match[3]} "))
            count += 1
    assert count > 200
