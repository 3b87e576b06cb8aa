"""Rule-based sentence splitting and detokenization.

Natural text is only split. Tokenized text (WikiText, the Treebank's ` n't`), recognized by its detached commas and full
stops, is detokenized first.
"""

from __future__ import annotations

import re

from kdrun.data.corpus.cleaning import HEADING, SPLIT_MARK

WORD = re.compile(r"\w+(?:['’.,-]\w+)*")
"""A word without the punctuation around it: `film`, `didn't`, `well-known`, `1,200`, `U.S`."""

SOFT_HYPHEN = "\xad"
DETACHED = re.compile(r" [,.](?= |$)")
ATTACHED = re.compile(r"\w[,.](?= |$)")
QUOTE = re.compile(r'(?<!\S)"(?!\S)')
JOINS = (
    (re.compile(r" (n't|' ?(?:s|t|re|ve|ll|d|m))\b", re.IGNORECASE), lambda match: match[1].replace(" ", "")),
    (re.compile(r"(?<=\w\w\ws) '(?= )"), "'"),  # the boys ' school, but not is ' so '
    (re.compile(r"(?<!\S)' ([^'.]{1,100}) '(?!\w)"), r"'\1'"),
    (re.compile(r"([(\[$£€]) +"), r"\1"),
    (re.compile(r" +([)\]%])"), r"\1"),
    (re.compile(r" +([,.;:!?]+)(?=[\s\"')\]]|$)"), r"\1"),
    (re.compile(r"(?<=\d): (?=\d\d\b)"), ":"),  # 3 : 15
    (re.compile(r"(?<=\w) / (?=\w)|(?<=\d) – (?=\d)"), lambda match: match[0].strip()),  # km / h, 1990 – 95
)
"""Pairs of pattern and replacement that remove blanks, in order of application."""

END = re.compile(r"[.!?…]+[\"”’')\]]*\s+(?=[\"“‘'(\[]*[^\W_a-z])")
LOWER_END = re.compile(r"[.!?…]+[\"”’')\]]*\s+")
"""Ends of sentences: before a capital or digit, and in text without capitals."""

ABBREVIATIONS = {
    "mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "gen", "col", "lt", "sgt", "cpl", "capt", "cmdr", "maj",
    "adm", "gov", "sen", "rep", "rev", "hon", "pres", "supt", "insp", "vs", "inc", "ltd", "co", "corp", "bros",
    "nos", "vol", "vols", "ed", "eds", "pp", "fig", "figs", "ca", "cf", "al", "approx", "est", "dept", "univ",
    "assoc", "ft", "mt", "mts", "ave", "blvd", "op", "ph", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep",
    "sept", "oct", "nov", "dec", "fr", "msgr", "esq", "messrs", "viz", "lit", "trans",
}  # fmt: skip
STARTER = re.compile(
    r"(?:The|A|An|In|On|At|As|It|Its|He|She|They|His|Her|Their|This|That|These|Those|There|When|While|After|Before|But"
    r"|And|However|We|You|I|Our|My|By|For|From|With|Of|To|One|Some|Many|Most|Both|Each|Several|Other|Another|All"
    r"|Although|Though|Because|Since|If|During|Under|Then|Despite|Until|Once|Later|Also)[ ,]"
)
"""Words that start a sentence rather than continue one after an abbreviation or initial."""


def detokenize(line: str) -> str:
    """A line as natural text; empty for a heading (` = Life = `)."""
    if HEADING.match(line):
        return ""
    line = line.replace(SOFT_HYPHEN, "")
    if "@" in line:
        line = SPLIT_MARK.sub(r"\1", line)
    return _join(line).strip() if _is_tokenized(line) else line.strip()


def _is_tokenized(line: str) -> bool:
    """Whether most commas and full stops are detached; a few attached ones are abbreviations."""
    if " ," not in line and " ." not in line:
        return False
    return len(DETACHED.findall(line)) > len(ATTACHED.findall(line))


def _join(line: str) -> str:
    pieces = QUOTE.split(line)
    if len(pieces) % 2:  # quotation marks are balanced, so the side of each is clear
        line = '"'.join(piece.strip() if i % 2 else piece for i, piece in enumerate(pieces))
    for pattern, joined in JOINS:
        line = pattern.sub(joined, line)
    return line


def split_sentences(paragraph: str) -> list[str]:
    """The sentences of a paragraph, in order.

    A sentence ends at `.`, `!`, `?`, with closing quotation marks or brackets, if a capital or a digit follows; in a
    paragraph without capitals anything may follow. An abbreviation or an initial ends a sentence only before a word
    that starts sentences: `J. Smith of the U.S. Army` is one sentence, `in the U.S. He` is two.
    """
    ends = LOWER_END if paragraph.islower() else END
    pieces, start = [], 0
    for end in ends.finditer(paragraph):
        if _is_abbreviation(paragraph, end) and not STARTER.match(paragraph, end.end()):
            continue
        pieces.append(paragraph[start : end.end()].rstrip())
        start = end.end()
    if start < len(paragraph):
        pieces.append(paragraph[start:])
    return pieces


def _is_abbreviation(paragraph: str, end: re.Match[str]) -> bool:
    """Whether the full stop belongs to the word before it."""
    if end.group().rstrip() != ".":
        return False
    word = paragraph[paragraph.rfind(" ", 0, end.start()) + 1 : end.start()].lstrip("\"“‘'([")
    if word.lower() == "no":  # `No. 5`; otherwise an answer
        return paragraph[end.end()].isdigit()
    initials = all(len(part) == 1 and part.isalpha() for part in word.split("."))
    return initials or word.lower() in ABBREVIATIONS
