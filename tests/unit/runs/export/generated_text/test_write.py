"""Lines of generated rows, and the examples on their card."""

from collections import Counter

import numpy as np

from kdrun.generation.text_statistics import GeneratedRow
from kdrun.runs.export.generated_text.write import EXAMPLES_PER_CLASS, ReservoirExamples, line

LABELS = ["no", "yes"]


def row(number: int, label: int = 0) -> GeneratedRow:
    return GeneratedRow((f"text {number}",), (f"source {number}",), np.eye(2)[label], number)


def test_a_line_names_classes_and_rounds_probabilities() -> None:
    generated = GeneratedRow(("a", "b"), ("c", "d"), np.array([1 / 3, 2 / 3]), 4, target_class=0, answer="x")
    assert line(generated, LABELS) == {
        "text": "a", "text_pair": "b", "wanted": "no", "teacher": {"no": 0.333333, "yes": 0.666667},
        "answer": "x", "source": 4,
    }  # fmt: skip
    assert line(row(1), LABELS) == {"text": "text 1", "wanted": None, "teacher": {"no": 1.0, "yes": 0.0}, "source": 1}


def test_examples_pass_all_rows_on_and_keep_a_few_per_class() -> None:
    examples = ReservoirExamples(LABELS, seed=1)
    rows = [row(number, int(number % 20 == 0)) for number in range(60)]
    assert list(examples.sample_from(rows)) == rows
    lines = examples.lines_by_class()
    assert list(lines) == LABELS
    assert len(lines["no"]) == EXAMPLES_PER_CLASS
    assert [example["source"] for example in lines["yes"]] == [0, 20, 40]
    assert lines["yes"][0]["made_of"] == ["source 0"]


def test_every_row_is_an_equally_likely_example() -> None:
    counts: Counter[int] = Counter()
    for seed in range(2000):
        examples = ReservoirExamples(LABELS, seed)
        list(examples.sample_from(row(number) for number in range(20)))
        counts.update(example["source"] for example in examples.lines_by_class()["no"])
    # 2000 draws with probability 1/4 each: mean 500, standard deviation 19.4
    assert all(abs(counts[number] - 500) < 5 * 19.4 for number in range(20))
