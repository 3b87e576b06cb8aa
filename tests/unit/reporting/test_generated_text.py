"""Statistics, examples and warnings of generated text."""

from typing import Any

from kdrun.reporting import generated_text

QUALITY: dict[str, Any] = {
    "distinct_1": 0.25,
    "source_distinct_1": 0.5,
    "words": 7.26,
    "agreement": None,
    "classes": {"no": 0.25, "yes": 0.75},
}


def test_statistics_have_digits_by_their_unit_and_none_is_not_a_number() -> None:
    texts = [generated_text.format_statistic(QUALITY, key) for key in ("distinct_1", "words", "agreement", "")]
    assert texts == ["0.250", "7.3", "n/a", ""]
    assert generated_text.format_statistic(QUALITY, "classes") == "no 25.0 %, yes 75.0 %"


def test_rows_show_the_source_where_it_has_the_statistic() -> None:
    rows = dict(generated_text.statistics_rows(QUALITY))
    assert len(rows) == len(generated_text.STATISTICS)
    assert rows["distinct-1: distinct words ÷ words"] == "0.250  (source 0.500)"
    assert rows["words also in the source row"] == "n/a"


def test_examples_are_few_and_short() -> None:
    line = {"text": "x" * 200, "text_pair": "y", "teacher": {"yes": 0.9}, "answer": "z"}
    rows = generated_text.example_rows({"yes": [line] * 9, "no": []})
    assert len(rows) == generated_text.EXAMPLES_PER_CLASS
    name, text = rows[0]
    assert name == "yes 0.90"
    assert len(text) == generated_text.MAX_EXAMPLE_LENGTH
    assert text.endswith("…")


def test_missing_rows_and_missing_classes_are_warnings() -> None:
    counts = {"kept": 5, "wanted": 5, "passes": 1}
    assert generated_text.warnings({"counts": counts, "quality": QUALITY}) == []
    quality = QUALITY | {"classes": {"no": 0.0, "yes": 1.0}}
    few, missing = generated_text.warnings({"counts": counts | {"wanted": 9}, "quality": quality})
    assert "5 of 9" in few
    assert "class no" in missing
