"""The leaderboard's zip file: names, formats, orders of labels, refused content."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from kdrun.deployment.glue_submission import (
    SHEETS,
    TASKS,
    Sheet,
    class_answers,
    filled,
    make_zip,
    score_answers,
    sheet_problems,
)
from kdrun.errors import DataError

ROWS = {
    "CoLA.tsv": 1063,
    "SST-2.tsv": 1821,
    "MRPC.tsv": 1725,
    "STS-B.tsv": 1379,
    "QQP.tsv": 390965,
    "MNLI-m.tsv": 9796,
    "MNLI-mm.tsv": 9847,
    "QNLI.tsv": 5463,
    "RTE.tsv": 3000,
    "WNLI.tsv": 146,
    "AX.tsv": 1104,
}
"""Names and rows of GLUE's own list."""


def sheet(name: str) -> Sheet:
    return next(one for one in SHEETS if one.name == name)


@pytest.fixture(scope="module")
def packed() -> bytes:
    return make_zip({one.name: filled(one) for one in SHEETS})


def test_the_zip_has_the_eleven_files_at_its_root_with_header_and_rows(packed: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == list(ROWS)
        for name, rows in ROWS.items():
            header, *lines = archive.read(name).decode("utf-8").removesuffix("\n").split("\n")
            assert header == "index\tprediction"
            assert len(lines) == rows
            assert (lines[0].split("\t")[0], lines[-1].split("\t")[0]) == ("0", str(rows - 1))
        assert archive.read("WNLI.tsv").startswith(b"index\tprediction\n0\t0\n1\t0\n")
        assert archive.read("RTE.tsv").startswith(b"index\tprediction\n0\tentailment\n")
        assert archive.read("STS-B.tsv").startswith(b"index\tprediction\n0\t2.701\n")


def test_equal_predictions_give_equal_bytes(packed: bytes) -> None:
    assert make_zip({one.name: filled(one) for one in reversed(SHEETS)}) == packed


def test_every_task_of_glue_is_predicted_and_ax_by_the_model_of_mnli() -> None:
    assert set(TASKS) == {"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"}
    assert [one.name for one in SHEETS if one.task == "mnli"] == ["MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv"]


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("MNLI-m.tsv", ["entailment", "neutral", "contradiction"], ["entailment", "neutral", "contradiction"]),
        ("MNLI-mm.tsv", ["contradiction", "entailment", "neutral"], ["contradiction", "entailment", "neutral"]),
        ("AX.tsv", ["neutral", "contradiction", "entailment"], ["neutral", "contradiction", "entailment"]),
        ("QNLI.tsv", ["not_entailment", "entailment"], ["not_entailment", "entailment"]),
        ("RTE.tsv", ["entailment", "not_entailment"], ["entailment", "not_entailment"]),
        ("WNLI.tsv", ["not_entailment", "entailment"], ["0", "1"]),
        ("WNLI.tsv", ["entailment", "not_entailment"], ["1", "0"]),
        ("SST-2.tsv", ["positive", "negative"], ["1", "0"]),
        ("CoLA.tsv", ["unacceptable", "acceptable"], ["0", "1"]),
        ("MRPC.tsv", ["not_equivalent", "equivalent"], ["0", "1"]),
        ("QQP.tsv", ["duplicate", "not_duplicate"], ["1", "0"]),
    ],
)
def test_a_class_is_written_by_its_name_in_any_order(name: str, labels: list[str], expected: list[str]) -> None:
    assert class_answers(sheet(name), labels, np.arange(len(labels))) == expected


def test_other_classes_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"MNLI-m\.tsv .*neutral, contradiction.*student has entailment, not_entailment"
    ):
        class_answers(sheet("MNLI-m.tsv"), ["entailment", "not_entailment"], np.array([0]))


def test_scores_are_clipped_and_have_three_decimals() -> None:
    assert score_answers(np.array([-0.2, -0.0001, 0.0, 2.34567, 5.0, 7.5])) == [
        "0.000",
        "0.000",
        "0.000",
        "2.346",
        "5.000",
        "5.000",
    ]
    with pytest.raises(DataError, match=r"STS-B\.tsv: 1 "):
        score_answers(np.array([1.0, np.nan]))


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("RTE.tsv", lambda text: text.replace("index\t", "id\t"), "must begin with 'index"),
        ("RTE.tsv", lambda text: text.replace("\n", "\r\n"), "line feed"),
        ("RTE.tsv", lambda text: text.removesuffix("\n"), "line feed"),
        ("RTE.tsv", lambda text: text.replace("7\tentailment\n", "7\t0\n", 1), r"RTE.tsv, row 7: .*'7\\t0'"),
        ("RTE.tsv", lambda text: text.replace("7\t", "8\t", 1), r"RTE.tsv, row 7"),
        ("RTE.tsv", lambda text: text.replace("7\t", "7 ", 1), r"RTE.tsv, row 7"),
        ("RTE.tsv", lambda text: text + "3000\tentailment\n", "must have 3000 rows, got 3001"),
        ("WNLI.tsv", lambda text: text.replace("7\t0", "7\tnot_entailment", 1), "WNLI.tsv, row 7: .*0, 1"),
        ("STS-B.tsv", lambda text: text.replace("7\t2.701", "7\t5.001", 1), "STS-B.tsv, row 7"),
        ("STS-B.tsv", lambda text: text.replace("7\t2.701", "7\t2.7", 1), "STS-B.tsv, row 7"),
        ("STS-B.tsv", lambda text: text.replace("7\t2.701", "7\tnan", 1), "STS-B.tsv, row 7"),
    ],
)
def test_every_departure_from_the_form_is_found(name: str, change, problem: str) -> None:
    one = sheet(name)
    text = "index\tprediction\n" + "".join(f"{i}\t{value}\n" for i, value in enumerate(filled(one)))
    assert list(sheet_problems(one, text)) == []
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError("; ".join(sheet_problems(one, change(text))))


def test_all_problems_of_a_submission_are_in_one_report() -> None:
    answers = {one.name: filled(one) for one in SHEETS if one.name not in ("AX.tsv", "QQP.tsv")}
    answers["WNLI.tsv"], answers["RTE.tsv"] = ["0"] * 145, ["maybe"] * 3000
    with pytest.raises(DataError) as error:
        make_zip(answers)
    for part in ("AX.tsv is missing", "QQP.tsv is missing", "WNLI.tsv must have 146 rows, got 145", "RTE.tsv, row 0"):
        assert part in str(error.value)
