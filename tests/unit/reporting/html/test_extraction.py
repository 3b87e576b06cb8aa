"""Teacher against student where the answer is a text: agreement, gaps and scores by type, by hand."""

from typing import Any

from kdrun.reporting.html import agreement, extraction
from kdrun.reporting.html.blocks import Table


def row(gold: str, teacher: str, student: str, **more: Any) -> dict[str, Any]:
    text = "Ann Lee met Bo in Rome ."
    said = {"prediction": student, "written": student, "teacher_prediction": teacher, "teacher_written": teacher}
    return {"split": "test", "text": text, "gold": gold, **said, **more}


BOTH = "person: Ann Lee; person: Bo; location: Rome"
ROWS = [
    row(BOTH, BOTH, "location: rome; person: Bo; person: Ann Lee"),  # another order
    row(BOTH, BOTH, "person: Bo; location: Oslo", cut=True),
    row("none", "person: Bo", "none"),
]


def tables(has_teacher: bool = True) -> dict[str, list[list[str]]]:
    found = extraction.blocks({"test": ROWS}, has_teacher=has_teacher)
    return {block.caption: block.rows for block in found if isinstance(block, Table)}


def test_rows_are_known_by_what_was_written() -> None:
    assert agreement.is_extraction(ROWS)
    assert not agreement.is_extraction([{"gold": "yes", "prediction": "no"}])
    assert [agreement.is_right(r) for r in ROWS] == [True, False, True]
    assert [agreement.is_right(r, "teacher_") for r in ROWS] == [True, True, False]


def test_agreement_and_gaps() -> None:
    assert extraction.agreement(ROWS) == 1 / 3
    # row 1: Ann Lee and Rome only the teacher's, Oslo only the student's; row 2: Bo only the teacher's
    assert extraction.gap(ROWS).tolist() == [0.0, 3.0, 1.0]


def test_tables_by_hand() -> None:
    made = tables()
    assert made["Agreement, and what the student wrote"] == [["test", "3", "33.3 %", "1", "1"]]
    assert [line[:2] for line in made["Who names all entities of a sentence of test, and no other"]] == [
        ["both right", "1"],
        ["only the teacher right", "1"],
        ["only the student right", "1"],
        ["both wrong", "0"],
    ]
    # person: 4 there; the teacher says 5, 4 right; the student says 3, all right. location: 2 there, the student 1 of 2
    assert made["Entities of test by type"] == [
        ["location", "2", "1.0000", "1.0000", "1.0000", "0.5000", "0.5000", "0.5000"],
        ["person", "4", "0.8000", "1.0000", "0.8889", "1.0000", "0.7500", "0.8571"],
    ]


def test_without_a_teacher_the_student_stands_alone() -> None:
    made = tables(has_teacher=False)
    assert made["Agreement, and what the student wrote"][0][2] == "n/a"
    assert made["Entities of test by type"][0] == ["location", "2", "0.5000", "0.5000", "0.5000"]
