"""Sentence splitting and detokenization."""

from __future__ import annotations

import pytest

from kdrun.data.corpus.sentences import WORD, detokenize, split_sentences


@pytest.mark.parametrize("line", [" = Robert = \n", " = = Early life = = ", "  \n"])
def test_headings_and_blank_lines_are_empty(line: str):
    assert detokenize(line) == ""


@pytest.mark.parametrize(
    ("line", "natural"),
    [
        (" He had a guest @-@ starring role , twice . \n", "He had a guest-starring role, twice."),
        ("It cost $ 1 @,@ 200 , or 2 @.@ 5 % of all .", "It cost $1,200, or 2.5% of all."),
        ('as " Craig " in " Long Firm " ; he left .', 'as "Craig" in "Long Firm"; he left.'),
        ('She asked : " Why ? " , and left .', 'She asked: "Why?", and left.'),
        ("The town ( in Kent ) is old [ 2 ] .", "The town (in Kent) is old [2]."),
        ("It did n't rain , it 's Teddy 's .", "It didn't rain, it's Teddy's."),
        ("It didn 't rain , they 're at the U.S. ' s border .", "It didn't rain, they're at the U.S.'s border."),
        ("The players ' room , a ' what if ' game , is ' so ' .", "The players' room, a 'what if' game, is 'so'."),
        ("In 1990 – 95 , 60 km / h at 3 : 15 .", "In 1990–95, 60 km/h at 3:15."),
        ('An odd " mark , left as it is .', 'An odd " mark, left as it is.'),
        ("Wait , ... what ?", "Wait,... what?"),
    ],
)
def test_tokenized_text_is_detokenized(line: str, natural: str):
    assert detokenize(line) == natural
    assert detokenize(natural) == natural, "natural text is unchanged"


@pytest.mark.parametrize(
    "line",
    [
        "x = 3 and y = 4.",
        'He said, "I don\'t know." Mr. Smith ( 5 ft. ) , however, left.',
        "a b c",
        "'s Gravenhage and ' t Hof are here, of course.",
        "Mail me @ home.",
    ],
)
def test_natural_text_stays(line: str):
    assert detokenize(line) == line


def test_soft_hyphens_are_no_letters():
    assert detokenize("a meth\xadod that works") == "a method that works"


@pytest.mark.parametrize(
    ("paragraph", "expected"),
    [
        ("One is here. Two is there! Is three? Yes.", ["One is here.", "Two is there!", "Is three?", "Yes."]),
        ("Mr. Smith met J. K. Rowling. Dr. Who left.", ["Mr. Smith met J. K. Rowling.", "Dr. Who left."]),
        ("He joined the U.S. Army. He left the U.S. In 1990 he died.", 3),
        ("See No. 5 on p. 7. He said no. Then he left.", ["See No. 5 on p. 7.", "He said no.", "Then he left."]),
        ("It cost 2.5 million e.g. here. 1990 was late.", ["It cost 2.5 million e.g. here.", "1990 was late."]),
        (
            'He said "Stop." Then "go!" (It was late.) Over.',
            ['He said "Stop."', 'Then "go!"', "(It was late.)", "Over."],
        ),
        ("the first... goes on. And ends", ["the first... goes on.", "And ends"]),
        ("then, a film is good. namely, it is. no end", ["then, a film is good.", "namely, it is.", "no end"]),
        ("A brand like eBay. iPhones are another.", 1),
        ("", []),
    ],
)
def test_sentences(paragraph: str, expected: list[str] | int):
    pieces = split_sentences(paragraph)
    assert (len(pieces) if isinstance(expected, int) else pieces) == expected
    assert " ".join(pieces) == paragraph


def test_words_leave_punctuation_outside():
    assert WORD.findall('"Well-known," he didn\'t say (1,200 of the U.S.).') == [
        "Well-known", "he", "didn't", "say", "1,200", "of", "the", "U.S",
    ]  # fmt: skip
