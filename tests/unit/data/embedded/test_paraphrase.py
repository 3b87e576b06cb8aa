"""Grammars of the similarity tasks: labels derived again from the text alone."""

from __future__ import annotations

import re

from kdrun.data.embedded.generate import clean_drafts

TRANSFER = re.compile(r"(\w+) (\w+) the (\w+) to (\w+) ([a-z ]+)[.]")
TRANSFERRED = re.compile(r"the (\w+) was (\w+) to (\w+) by (\w+) ([a-z ]+)[.]")
VERB_GROUPS = {
    form: group
    for group, forms in enumerate(("gave given handed", "sent mailed", "lent loaned", "showed shown presented"))
    for form in forms.split()
}


def transfer(text: str) -> tuple[object, ...]:
    """Giver, action, thing, taker, and day of a sentence."""
    if match := TRANSFERRED.fullmatch(text):
        thing, verb, taker, giver, day = match.groups()
    else:
        match = TRANSFER.fullmatch(text)
        assert match is not None, text
        giver, verb, thing, taker, day = match.groups()
    return giver, VERB_GROUPS[verb], thing, taker, day


def test_mrpc_labels_follow_the_transfer() -> None:
    for draft in clean_drafts("mrpc", "dev", 0, 500):
        assert draft.label == int(transfer(draft.text) == transfer(draft.text_pair or ""))


def request(text: str) -> tuple[str, ...]:
    """The content of a question: a route or a reason."""
    words = text.rstrip("?").split()
    if "from" in words:
        start, goal = words[words.index("from") + 1], words[words.index("to", 4) + 1]
        return start, goal, " ".join(words[-2:])
    return tuple(words[2:])


def test_qqp_labels_follow_the_content_of_the_questions() -> None:
    for draft in clean_drafts("qqp", "dev", 0, 500):
        assert draft.label == int(request(draft.text) == request(draft.text_pair or ""))


def test_stsb_scores_of_equal_and_swapped_sentences() -> None:
    drafts = clean_drafts("stsb", "dev", 0, 500)
    assert {draft.label for draft in drafts if draft.text == draft.text_pair} == {5.0}
    swapped = re.compile(r"the (\w+) is (\w+) the (\w+) ([a-z ]+)[.]")
    scores = set()
    for draft in drafts:
        first, second = swapped.fullmatch(draft.text), swapped.fullmatch(draft.text_pair or "")
        if first and second and first.group(1, 3, 4) == second.group(3, 1, 4) and first[2] == second[2]:
            scores.add(draft.label)
    assert scores == {2.5}
