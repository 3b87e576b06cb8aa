"""Windows of reused text, and reuse in whole trainings of tiny models."""

from collections import Counter
from typing import Any

import pytest
import torch

from kdrun.data.batch import Batch, StepPosition
from kdrun.methods.shared.text_reuse import TextWindow, window_of


@pytest.mark.parametrize("reuse", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("max_sources", [1, 3, 8])
@pytest.mark.parametrize("turn_steps", [None, 1, 10, 25])
def test_windows_use_each_text_at_most_as_often_as_allowed(
    reuse: int, max_sources: int, turn_steps: int | None
) -> None:
    num_steps = 53
    windows = [window_of(step, reuse, max_sources, turn_steps, num_steps) for step in range(num_steps)]
    sources = [window.source(step) for step, window in enumerate(windows)]
    assert all(source <= step for step, source in enumerate(sources))  # the rows of a text were part of a batch before
    assert all(sources[source] == source for source in sources)
    assert max(Counter(sources).values()) <= reuse
    if turn_steps is not None:  # the generator changes after a turn
        assert all(source // turn_steps == step // turn_steps for step, source in enumerate(sources))
    turn_lengths = Counter(step // (turn_steps or num_steps) for step in range(num_steps)).values()
    assert len(set(sources)) == sum(-(-length // reuse) for length in turn_lengths)  # no fewer texts would do


def test_without_reuse_every_step_has_its_own_text() -> None:
    assert [window_of(step, 1, 8, 10, 53).source(step) for step in range(53)] == list(range(53))


def numbered(step: int, index: int = 0, phase: str = "train") -> Batch:
    """A batch with a position whose ids tell step and index."""
    position = StepPosition(step, index, 8, lambda step, index: numbered(step, index, phase))
    return Batch(torch.tensor([step, index]), {}, phase=phase, step=step, position=position)


def test_text_of_a_micro_batch_is_that_of_its_place_in_the_source_step() -> None:
    generated: list[list[int]] = []

    def generate(batch: Batch) -> list[int]:
        generated.append(batch.ids.tolist())
        return generated[-1]

    window: TextWindow[list[int]] = TextWindow(2, max_sources=2)
    uses = [window.text(numbered(step, index), None, generate) for step in range(8) for index in (0, 1)]
    assert [text[0] for text, _ in uses[::2]] == [0, 1, 0, 1, 4, 5, 4, 5]
    assert all(text[1] == index for (text, _), index in zip(uses, [0, 1] * 8, strict=True))
    assert [is_new for _, is_new in uses[::2]] == [True, True, False, False] * 2
    assert generated == [[step, index] for step in (0, 1, 4, 5) for index in (0, 1)]


def test_a_resumed_training_generates_the_text_of_its_window_again() -> None:
    fresh: TextWindow[list[int]] = TextWindow(4, max_sources=2)
    text, is_new = fresh.text(numbered(5, 1), None, lambda batch: batch.ids.tolist())
    assert (text, is_new) == ([1, 1], False)


def test_a_phase_uses_no_text_of_the_phase_before() -> None:
    window: TextWindow[str] = TextWindow(4)
    texts = [window.text(numbered(0, 0, phase), None, lambda batch: batch.phase)[0] for phase in ("first", "second")]
    assert texts == ["first", "second"]


def test_batches_outside_of_a_training_have_their_own_text() -> None:
    window: TextWindow[Any] = TextWindow(4)
    batches = [Batch(torch.tensor([i]), {}) for i in range(2)]
    assert [window.text(batch, None, lambda batch: int(batch.ids))[0] for batch in batches] == [0, 1]
