"""Agreement, gaps and scores by entity type, computed by hand."""

from typing import Any

from kdrun.reporting.html import agreement, extraction
from kdrun.reporting.html.blocks import Table


def row(gold: str, teacher: str, student: str, **more: Any) -> dict[str, Any]:
    text = "Ann Lee met Bo in Rome ."
    predictions = {"prediction": student, "written": student, "teacher_prediction": teacher, "teacher_written": teacher}
    return {"split": "test", "text": text, "gold": gold, **predictions, **more}


BOTH = "person: Ann Lee; person: Bo; location: Rome"
ROWS = [
    row(BOTH, BOTH, "location: rome; person: Bo; person: Ann Lee"),  # another order
    row(BOTH, BOTH, "person: Bo; location: Oslo", cut=True),
    row("none", "person: Bo", "none"),
]


def tables(has_teacher: bool = True) -> dict[str, list[list[str]]]:
    blocks = extraction.blocks({"test": ROWS}, has_teacher=has_teacher)
    return {block.caption: block.rows for block in blocks if isinstance(block, Table)}


def test_extraction_rows_are_recognized() -> None:
    assert agreement.is_extraction(ROWS)
    assert not agreement.is_extraction([{"gold": "yes", "prediction": "no"}])
    assert [agreement.is_correct(r) for r in ROWS] == [True, False, True]
    assert [agreement.is_correct(r, "teacher_") for r in ROWS] == [True, True, False]


def test_agreement_and_gaps() -> None:
    assert extraction.agreement(ROWS) == 1 / 3
    # row 1: Ann Lee and Rome from the teacher only, Oslo from the student only; row 2: Bo from the teacher only
    assert extraction.gap(ROWS).tolist() == [0.0, 3.0, 1.0]


def test_tables_by_hand() -> None:
    by_caption = tables()
    assert by_caption["Agreement and the student's answers"] == [["test", "3", "33.3 %", "1", "1"]]
    assert [line[:2] for line in by_caption["Sentences of test with exactly the gold entities"]] == [
        ["both correct", "1"],
        ["only the teacher correct", "1"],
        ["only the student correct", "1"],
        ["both wrong", "0"],
    ]
    # person: 4 gold; the teacher names 5, 4 correct; the student 3, all correct. location: 2 gold, the student 1 of 2
    assert by_caption["Entities of test by type"] == [
        ["location", "2", "100.0 %", "100.0 %", "100.0 %", "50.0 %", "50.0 %", "50.0 %"],
        ["person", "4", "80.0 %", "100.0 %", "88.9 %", "100.0 %", "75.0 %", "85.7 %"],
    ]


def test_without_a_teacher_only_the_student_is_shown() -> None:
    by_caption = tables(has_teacher=False)
    assert by_caption["Agreement and the student's answers"][0][2] == "n/a"
    assert by_caption["Entities of test by type"][0] == ["location", "2", "50.0 %", "50.0 %", "50.0 %"]
