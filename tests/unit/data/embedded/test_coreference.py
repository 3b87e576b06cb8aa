"""Grammars of WNLI and QNLI: labels derived again from the text alone."""

from __future__ import annotations

import re

from kdrun.data.embedded.generate import clean_drafts


def test_wnli_labels_follow_the_culprit() -> None:
    pattern = re.compile(r"the (\w+) .* the (\w+) because it was too (\w+)[.]")
    count = 0
    for draft in clean_drafts("wnli", "dev", 0, 500):
        if match := pattern.fullmatch(draft.text):
            large = match[3] in ("big", "large", "wide", "thick")
            culprit = match[1] if large else match[2]
            assert draft.label == int(f"the {culprit} " in (draft.text_pair or ""))
            count += 1
    assert count > 100


def test_qnli_answers_are_in_the_right_clause() -> None:
    starts = {"where": ("at", "in town", "near"), "when": ("on", "last", "this", "in june"), "why": ("for", "from")}
    count = 0
    for draft in clean_drafts("qnli", "dev", 0, 500):
        word, _, name = draft.text.split()[:3]
        if word in starts:
            clauses = (draft.text_pair or "").split(" and ")
            (clause,) = [clause for clause in clauses if clause.startswith(name)]
            is_answer = " ".join(clause.split()[2:]).startswith(starts[word])
            assert draft.label == int(not is_answer), draft
            count += 1
    assert count > 100
