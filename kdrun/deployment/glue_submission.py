"""The zip file of predictions for the GLUE leaderboard."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kdrun.data.sources.glue_test_files import GlueTestFile
from kdrun.errors import DataError

HEADER = "index\tprediction"
DATE = (1980, 1, 1, 0, 0, 0)
"""Date of every file in the zip: the earliest of the format, so that equal predictions give equal bytes."""
MODE = 0o644
SCORE_RANGE = (0.0, 5.0)
INDICES = ("0", "1")
PAIR = ("sentence1", "sentence2")
NLI = ("entailment", "neutral", "contradiction")


@dataclass(frozen=True)
class Sheet:
    """One file of a submission.

    Attributes:
        name: name of the file.
        task: task of kdrun whose student predicts it.
        test: where its rows are.
        answers: class of the task → its text in the file; empty for a score.
        filler: prediction of every row where no student predicts it: the most frequent class of the training set, or
            its mean score.
    """

    name: str
    task: str
    test: GlueTestFile
    answers: Mapping[str, str]
    filler: str


def _numbered(*classes: str) -> dict[str, str]:
    return dict(zip(classes, INDICES, strict=True))


def _named(*classes: str) -> dict[str, str]:
    return {name: name for name in classes}


SHEETS = (
    Sheet(
        "CoLA.tsv",
        "cola",
        GlueTestFile(("CoLA/test.tsv",), ("sentence",), ("cola", "test"), ("sentence",), 1063),
        _numbered("unacceptable", "acceptable"),
        "1",
    ),
    Sheet(
        "SST-2.tsv",
        "sst2",
        GlueTestFile(("SST-2/test.tsv",), ("sentence",), ("sst2", "test"), ("sentence",), 1821),
        _numbered("negative", "positive"),
        "1",
    ),
    Sheet(
        "MRPC.tsv",
        "mrpc",
        GlueTestFile(("MRPC/test.tsv",), ("#1 String", "#2 String"), ("mrpc", "test"), PAIR, 1725),
        _numbered("not_equivalent", "equivalent"),
        "1",
    ),
    Sheet("STS-B.tsv", "stsb", GlueTestFile(("STS-B/test.tsv",), PAIR, ("stsb", "test"), PAIR, 1379), {}, "2.701"),
    Sheet(
        "QQP.tsv",
        "qqp",
        GlueTestFile(
            ("QQP/test.tsv",), ("question1", "question2"), ("qqp", "test"), ("question1", "question2"), 390965
        ),
        _numbered("not_duplicate", "duplicate"),
        "0",
    ),
    Sheet(
        "MNLI-m.tsv",
        "mnli",
        GlueTestFile(("MNLI/test_matched.tsv",), PAIR, ("mnli", "test_matched"), ("premise", "hypothesis"), 9796),
        _named(*NLI),
        "contradiction",
    ),
    Sheet(
        "MNLI-mm.tsv",
        "mnli",
        GlueTestFile(("MNLI/test_mismatched.tsv",), PAIR, ("mnli", "test_mismatched"), ("premise", "hypothesis"), 9847),
        _named(*NLI),
        "contradiction",
    ),
    Sheet(
        "QNLI.tsv",
        "qnli",
        GlueTestFile(("QNLI/test.tsv",), ("question", "sentence"), ("qnli", "test"), ("question", "sentence"), 5463),
        _named("entailment", "not_entailment"),
        "not_entailment",
    ),
    Sheet(
        "RTE.tsv",
        "rte",
        GlueTestFile(("RTE/test.tsv",), PAIR, ("rte", "test"), PAIR, 3000),
        _named("entailment", "not_entailment"),
        "entailment",
    ),
    Sheet(
        "WNLI.tsv",
        "wnli",
        GlueTestFile(("WNLI/test.tsv",), PAIR, ("wnli", "test"), PAIR, 146),
        _numbered("not_entailment", "entailment"),
        "0",
    ),
    Sheet(
        "AX.tsv",
        "mnli",
        GlueTestFile(
            ("diagnostic/diagnostic.tsv", "AX/AX.tsv", "AX/test.tsv", "AX/diagnostic.tsv"),
            PAIR,
            ("ax", "test"),
            ("premise", "hypothesis"),
            1104,
        ),
        _named(*NLI),
        "contradiction",
    ),
)
"""The eleven files, in the order of the leaderboard's instructions."""
TASKS = tuple(dict.fromkeys(sheet.task for sheet in SHEETS))


def class_answers(sheet: Sheet, labels: Sequence[str], classes: np.ndarray) -> list[str]:
    """The predictions of a sheet from class indices, by the names of the classes.

    Libraries order the classes of MNLI, QNLI and RTE differently, so an index alone says nothing.

    Args:
        sheet: with classes.
        labels: names of the model's classes, in the model's order.
        classes: predicted indices, [rows].

    Raises:
        DataError: the model has other classes.
    """
    if sorted(labels) != sorted(sheet.answers):
        raise DataError(
            f"{sheet.name} has the classes {', '.join(sheet.answers)}, and the student has {', '.join(labels)}: it was "
            f"not trained on {sheet.task}"
        )
    texts = [sheet.answers[label] for label in labels]
    return [texts[index] for index in classes.tolist()]


def score_answers(scores: np.ndarray) -> list[str]:
    """The predictions of STS-B: scores clipped to 0 … 5, with three decimals.

    Args:
        scores: of each row, [rows].

    Raises:
        DataError: a score is not finite.
    """
    if not np.isfinite(scores).all():
        raise DataError(f"STS-B.tsv: {int((~np.isfinite(scores)).sum())} scores are not finite; train the run again")
    return [f"{abs(score):.3f}" for score in np.clip(scores, *SCORE_RANGE).tolist()]  # abs: no -0.000


def filled(sheet: Sheet) -> list[str]:
    """The same prediction for every row."""
    return [sheet.filler] * sheet.test.rows


def sheet_problems(sheet: Sheet, text: str) -> Iterator[str]:
    """Differences between the content of a file and its form, one sentence each."""
    if not text.endswith("\n") or "\r" in text:
        yield f"{sheet.name} must end every line with a line feed"
    header, *lines = text.removesuffix("\n").split("\n")
    if header != HEADER:
        yield f"{sheet.name} must begin with {HEADER!r}, got {header!r:.40}"
    if len(lines) != sheet.test.rows:
        yield f"{sheet.name} must have {sheet.test.rows} rows, got {len(lines)}"
    for number, line in enumerate(lines):
        index, tab, value = line.partition("\t")
        if not tab or index != str(number) or not _is_answer(sheet, value):
            allowed = ", ".join(sheet.answers.values()) or "a number from 0 to 5 with three decimals"
            found = f"got {line!r:.60}"
            yield f"{sheet.name}, row {number}: expected the number {number}, a tab and one of {allowed}, {found}"
            return


def _is_answer(sheet: Sheet, value: str) -> bool:
    if sheet.answers:
        return value in sheet.answers.values()
    whole, point, decimals = value.partition(".")
    is_number = point == "." and whole.isdecimal() and decimals.isdecimal() and len(decimals) == 3
    return is_number and SCORE_RANGE[0] <= float(value) <= SCORE_RANGE[1]


def make_zip(answers: Mapping[str, Sequence[str]]) -> bytes:
    """A validated submission; equal predictions give equal bytes.

    Args:
        answers: name of each of the eleven files → its predictions, in the order of the test file.

    Raises:
        DataError: a file is missing, or its content has another form; all problems are named.
    """
    problems = [f"{sheet.name} is missing" for sheet in SHEETS if sheet.name not in answers]
    texts = {}
    for sheet in (sheet for sheet in SHEETS if sheet.name in answers):
        lines = [HEADER, *(f"{index}\t{value}" for index, value in enumerate(answers[sheet.name]))]
        texts[sheet.name] = "".join(f"{line}\n" for line in lines)
        problems += sheet_problems(sheet, texts[sheet.name])
    if problems:
        raise DataError("the submission is not valid:\n" + "\n".join(f"  - {problem}" for problem in problems))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, text in texts.items():
            info = zipfile.ZipInfo(name, DATE)
            info.compress_type, info.external_attr, info.create_system = zipfile.ZIP_DEFLATED, MODE << 16, 3
            archive.writestr(info, text.encode())
    return content.getvalue()
