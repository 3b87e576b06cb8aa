"""Grammars of SST-2 and CoLA: labels derived again from the text alone."""

from __future__ import annotations

import re

from kdrun.data.embedded.generate import clean_drafts
from kdrun.data.embedded.single_sentence import GOOD, NEGATE


def test_sst2_labels_follow_the_main_clause() -> None:
    good = set(GOOD)
    for draft in clean_drafts("sst2", "dev", 0, 500):
        text = draft.text.rstrip(".")
        if ", but " in text:
            text = text.split(", but ")[1]
        elif text.startswith("although "):
            text = text.split(", ")[1]
        text = text.split(", although ")[0]
        negations = sum(phrase in text for phrase in ("nobody thinks", "it is wrong", *NEGATE))
        assert draft.label == int((text.split()[-1] in good) != (negations % 2 == 1)), draft


def test_cola_plain_sentences_agree_in_number() -> None:
    pattern = re.compile(r"the (dogs?|cats?|girls?|boys?) (sleeps?|smiles?|arrives?|falls?|laughs?)[.]")
    pairs = [
        (draft.label, match[1].endswith("s") != match[2].endswith("s"))
        for draft in clean_drafts("cola", "train", 0, 5000)
        if (match := pattern.fullmatch(draft.text))
    ]
    assert len(pairs) > 20
    assert all(label == int(agrees) for label, agrees in pairs)
