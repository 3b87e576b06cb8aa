"""Published values are matched exactly or not at all."""

import pytest

from kdrun.tables import paper


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (("mate_kd", "cola", "mcc", "dev"), "65.9 [check]"),
        (("zskd", "mnli", "accuracy", "dev"), "65.1 [summary]"),
        (("kd", "mrpc", "f1", "dev"), "90.2 [check]"),
        (("kd", "mrpc", "accuracy", "dev"), "None"),
        (("kd", "cola", "mcc", "test"), "None"),
        (("finetune", "cola", "mcc", "dev"), "None"),
        (("kd_augment", "cola", "mcc", "dev"), "None"),
    ],
)
def test_match(match: tuple[str, str, str, str], expected: str) -> None:
    assert str(paper.published(*match)) == expected


def test_every_match_names_rows_that_exist_and_every_tag_has_a_meaning() -> None:
    known = paper._table()
    assert len(known) == 110
    matched = {*paper.SAME.values(), *paper.TEACHERS.values(), *paper.STUDENTS.values()}
    assert matched <= {(name, row) for name, row, *_ in known}
    # every row of Meta-KD's results is matched
    assert {(name, row) for name, row, *_ in known if name == "meta_kd"} <= matched
    assert {value.tag for value in known.values()} <= set(paper.TAGS)
