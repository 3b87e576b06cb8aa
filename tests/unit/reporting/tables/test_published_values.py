"""Published values, matched exactly or not at all."""

import pytest

from kdrun.reporting.tables import published_values


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
    assert str(published_values.method_value(*match)) == expected


def test_every_match_names_rows_that_exist_and_every_tag_has_a_meaning() -> None:
    published = published_values._table()
    assert len(published) == 110
    matched = {
        *published_values.METHODS.values(),
        *published_values.TEACHERS.values(),
        *published_values.STUDENTS.values(),
    }
    assert matched <= {(name, row) for name, row, *_ in published}
    # every row of Meta-KD's results is matched
    assert {(name, row) for name, row, *_ in published if name == "meta_kd"} <= matched
    assert {value.tag for value in published.values()} <= set(published_values.TAGS)
