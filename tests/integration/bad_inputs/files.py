"""Data files, corpora and generated text."""

import json
from pathlib import Path

from tests.integration.bad_inputs.case import MADE, SMOKE, Case

HEAD = b"sentence\tlabel\n"
GOOD = HEAD + b"fine\t1\nbad\t0\n"


def rows(content: bytes | None, file: str = "train.tsv", folder: str = "SST-2") -> MADE:
    """A GLUE folder whose training file has this content; no such file for None."""

    def make(here: Path, run: Path) -> None:
        place = here / "glue" / folder
        place.mkdir(parents=True)
        (place / "dev.tsv").write_bytes(GOOD)
        if content is not None:
            (place / file).write_bytes(content)

    return make


def tsv(name: str, content: bytes | None, *says: str, **where: str) -> Case:
    words = (*SMOKE, "method=finetune", "data=folder", "data.dir={here}/glue")
    return Case(name, words, says, make=rows(content, **where))


def corpus(name: str, files: dict[str, bytes], *says: str) -> Case:
    def make(here: Path, run: Path) -> None:
        (here / "text").mkdir()
        for file, content in files.items():
            (here / "text" / file).write_bytes(content)

    return Case(name, (*SMOKE, "method=kd_ood", "corpus=folder", "corpus.dir={here}/text"), says, make=make)


ROW = {"text": "a", "wanted": None, "teacher": {"negative": 0.25, "positive": 0.75}, "source": None}


def text_case(name: str, lines: list[bytes], *says: str, card: bytes | None = None) -> Case:
    def make(here: Path, run: Path) -> None:
        (here / "made").mkdir()
        (here / "made" / "train.jsonl").write_bytes(b"".join(lines))
        if card is not None:
            (here / "made" / "card.json").write_bytes(card)

    return Case(name, (*SMOKE, "method=finetune", "data=generated", "data.path={here}/made"), says, make=make)


def line(**changes: object) -> bytes:
    return json.dumps(ROW | changes).encode() + b"\n"


CASES: list[Case] = [
    tsv("no training file", None, "SST-2/train.tsv is missing", "holds dev.tsv"),
    tsv("a file of another name", GOOD, "train.tsv is missing", "did you mean 'trains.tsv'?", file="trains.tsv"),
    tsv("a folder of another name", GOOD, "has no folder SST-2", "It holds SST2", folder="SST2"),
    tsv("an empty file", b"", "SST-2/train.tsv", "found: nothing", "expected 'sentence', 'label'"),
    tsv("a header alone", HEAD, "SST-2/train.tsv has no rows", "expected 67349"),
    tsv("no header", b"a\t0\n", "lacks the column 'sentence'", "Columns found: 'a', '0'"),
    tsv("a misspelled column", b"sentense\tlabel\na\t0\n", "did you mean 'sentense'?"),
    tsv("too few columns", HEAD + b"a\t0\nb\n", "line 3: 1 columns, expected 2", "fix them"),
    tsv("too many columns", HEAD + b"a\tb\t0\n", "line 2: 3 columns, expected 2", "fix them"),
    tsv("a blank line", HEAD + b"a\t0\n\nb\t1\n", "line 3: 1 columns, expected 2"),
    tsv("an unknown label", HEAD + b"a\t0\nb\tgood\n", "line 3: the label is 'good'", "negative or 0, positive or 1"),
    tsv("a label that is hidden", HEAD + b"a\t-1\n", "the label is '-1'"),
    tsv("an empty text", HEAD + b" \t1\n", "line 2: the text is empty"),
    tsv("another encoding", HEAD + b"caf\xe9\t1\n", "not UTF-8: byte 0xe9 at offset", "line 2", "iconv"),
    tsv("a binary file", b"\x00\x80PAR1", "not UTF-8: byte 0x80"),
    tsv("UTF-16", GOOD.decode().encode("utf-16"), "is UTF-16, not UTF-8", "iconv -f UTF-16 -t UTF-8"),
    Case("data.dir is a file", (*SMOKE, "data=folder", "data.dir={here}/glue"), ("which is a file", "SST-2/train.tsv"),
         make=lambda here, run: (here / "glue").write_bytes(GOOD)),
    Case("data.dir is not there", (*SMOKE, "data=folder", "data.dir={here}/glue"), ("which does not exist",)),
    corpus("a corpus of other files", {"a.pdf": b"x"}, "which holds a.pdf", "expected a folder of .txt or .tokens"),
    corpus("an empty corpus", {"a.txt": b""}, "every file of", "is empty", "expected a folder"),
    corpus("a corpus of blanks", {"a.txt": b" \n \n"}, "has no lines of text", "set corpus.dir=PATH to another folder"),
    corpus("a corpus in another encoding", {"a.txt": b"ok\ncaf\xe9\n"}, "a.txt is not UTF-8: byte 0xe9 in line 2"),
    Case("a corpus that is not there", (*SMOKE, "method=kd_ood", "corpus=folder", "corpus.dir={here}/text"),
         ("which does not exist", "corpus=embedded")),
    text_case("generated text that is no JSON", [line(), b"{\n"], "line 2: it is not JSON", "fix or delete them"),
    text_case("generated text that was cut off", [line(), line()[:20]], "line 2:", "no line end"),
    text_case("generated text without a key", [b'{"text": "a"}\n'], "line 1: it lacks teacher"),
    text_case("generated text with an unknown key", [line(txet=1)], "has the key 'txet'; did you mean 'text'?"),
    text_case("probabilities that are none", [line(teacher={"negative": 0.9, "positive": 0.9})],
              "sum to 1.8 instead of 1"),
    text_case("an unknown class", [line(teacher={"bad": 1.0})],
              "has 'bad', which is not a class", "negative, positive"),
    text_case("no generated rows", [], "is empty", "generate it again"),
    text_case("a card that is no JSON", [line()], "card.json: it is not JSON", "delete", card=b"{"),
    text_case("a card that is no object", [line()], "it must be an object, got [1]", "delete", card=b"[1]"),
    text_case("a card of another task", [line()], "was generated for task=rte", "this run has task=sst2",
              card=b'{"task": "rte", "labels": ["a"], "synthetic": true, "method": "zskd", "seed": 1, '
              b'"generator": "x", "teacher": {"name": "x", "fingerprint": "x"}, "provenance": {"command": "x"}, '
              b'"file": {"rows": 1, "sha256": "x"}}'),
]  # fmt: skip
