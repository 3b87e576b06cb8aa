"""Gallery of generated samples."""

from itertools import pairwise
from pathlib import Path
from typing import Any

from kdrun.reporting.html import samples
from kdrun.reporting.html.blocks import Gallery, Text
from kdrun.reporting.html.run_reader import FinishedRun


def line(step: int = 1, changed: tuple[int, ...] = (1,), **keys: Any) -> dict[str, Any]:
    probabilities = {"before": {"no": 0.5, "yes": 0.5}, "after": {"no": 0.1, "yes": 0.9}}
    student = {"before": {"no": 0.5, "yes": 0.5}, "after": {"no": 0.4, "yes": 0.6}}
    return {
        "step": step, "original": "a film", "text": "a movie", "changed": list(changed),
        "teacher": probabilities, "student": student,
    } | keys  # fmt: skip


def finished_run(lines: list[dict[str, Any]], generator: str = "t5") -> FinishedRun:
    result: Any = {"method": "zskd"}
    run = FinishedRun(Path(), result)
    vars(run).update(samples=lines, config={"generator": {"name": generator}})  # instead of files
    return run


def gallery(lines: list[dict[str, Any]]) -> Gallery:
    blocks = samples.blocks(finished_run(lines)) or []
    assert isinstance(blocks[-1], Gallery)
    return blocks[-1]


def test_changed_words_are_marked_and_the_gap_is_the_total_variation() -> None:
    (sample,) = gallery([line()]).samples
    assert sample.words == [("a", False), ("movie", True)]
    assert sample.rows[0] == ["no", "0.500", "0.100", "0.500", "0.400"]
    assert "0.000 before and 0.300 after" in sample.gap


def test_many_samples_are_thinned_evenly_from_first_to_last() -> None:
    steps = [sample.step for sample in gallery([line(step) for step in range(100)]).samples]
    assert len(steps) == samples.MAX_SAMPLES
    assert (steps[0], steps[-1]) == (0, 99)
    assert {b - a for a, b in pairwise(steps)} == {4, 5}


def test_models_with_other_classes_have_no_gap() -> None:
    other = {"before": {"maybe": 1.0}, "after": {"maybe": 1.0}}
    (sample,) = gallery([line(student=other)]).samples
    assert "n/a" in sample.gap


def test_a_run_without_samples_says_so_only_with_a_generator() -> None:
    assert samples.blocks(finished_run([], "none")) is None
    (block,) = samples.blocks(finished_run([])) or []
    assert isinstance(block, Text)
    assert "samples.jsonl" in block.text
