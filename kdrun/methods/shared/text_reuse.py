"""Reuse of generated text over several student steps [ours].

Text is reused within a window of student steps in which the generator does not change. So the text of a window is a
function of the seed, the rows and the generator's weights. It needs no place in a checkpoint: a resumed run generates
it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from kdrun.data.batch import Batch

T = TypeVar("T")
WINDOW_SOURCES = 8
"""Most steps of a window that generate text: with more of them a text returns later, and more is kept in memory."""


@dataclass(frozen=True)
class Window:
    """Student steps that share generated text: the first `num_sources` generate it, the others use it in turn.

    Attributes:
        first: first step.
        num_sources: steps that generate text.
    """

    first: int
    num_sources: int

    def source(self, step: int) -> int:
        """The step of this window whose text a step uses."""
        return self.first + (step - self.first) % self.num_sources


def window_of(step: int, reuse: int, max_sources: int, turn_steps: int | None, num_steps: int) -> Window:
    """Window of a student step.

    A window ends with the student's turn, after which the generator changes, and with the phase. It has as few
    sources as possible, so that no text is used more than `reuse` times.

    Args:
        step: of the student, from 0.
        reuse: steps that may use a text.
        max_sources: most steps that generate text.
        turn_steps: steps of a student turn; None if the generator does not train.
        num_steps: steps of the student in the phase.
    """
    turn_start = 0 if turn_steps is None else step // turn_steps * turn_steps
    size = reuse * max_sources
    first = turn_start + (step - turn_start) // size * size
    turn_end = num_steps if turn_steps is None else min(turn_start + turn_steps, num_steps)
    return Window(first, -(-min(size, turn_end - first) // reuse))


class TextWindow(Generic[T]):
    """Text of the current window.

    Args:
        reuse: steps that may use a text; 1 keeps none.
        max_sources: as for `window_of`.
    """

    def __init__(self, reuse: int, max_sources: int = WINDOW_SOURCES) -> None:
        self.reuse, self.max_sources = reuse, max_sources
        self._window: tuple[str, Window] | None = None
        self._texts: dict[tuple[int, int], T] = {}

    def text(self, batch: Batch, turn_steps: int | None, generate: Callable[[Batch], T]) -> tuple[T, bool]:
        """Text for a micro-batch of the student, and whether this is its first use.

        Args:
            batch: the micro-batch. Outside of a training step its text is its own.
            turn_steps: as for `window_of`.
            generate: generates the text of a micro-batch.
        """
        position = batch.position
        if position is None or self.reuse == 1:
            return generate(batch), True
        window = window_of(position.step, self.reuse, self.max_sources, turn_steps, position.num_steps)
        if (batch.phase, window) != self._window:
            self._window, self._texts = (batch.phase, window), {}
        source = window.source(position.step)
        is_own = source == position.step
        if (source, position.index) not in self._texts:
            text = generate(batch if is_own else position.load(source, position.index))
            self._texts[source, position.index] = text
        return self._texts[source, position.index], is_own
