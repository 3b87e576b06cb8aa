"""Micro-batches of steps over several epochs."""

import numpy as np

from kdrun.methods.phases import Phase, Turn
from kdrun.training.micro_batches import MicroBatches
from tests.helpers.fake_training import RowFeed


def micro_batches(feed: RowFeed) -> MicroBatches:
    phase = Phase("play", (Turn("generator"), Turn("student")), batch_size=4, gradient_accumulation_steps=3)
    return MicroBatches(feed, phase, "student", 1, 9)  # type: ignore[arg-type]


def test_steps_cover_each_epoch_in_order() -> None:
    """21 rows in batches of 4 are 6 micro-batches, two steps of three; the last has one row."""
    steps = [micro_batches(RowFeed()).of_step(step) for step in range(4)]
    assert [[number for number, _ in step] for step in steps] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    rows = [np.concatenate([rows for _, rows in first + second]).tolist() for first, second in (steps[:2], steps[2:])]
    assert rows == [list(range(21))] * 2


def test_a_position_loads_other_micro_batches_of_its_role() -> None:
    table = micro_batches(RowFeed())
    position = table.position(3, 10)
    assert (position.step, position.index, position.num_steps) == (3, 1, 9)
    batch = position.load(1, 2)
    assert (batch.ids.tolist(), batch.phase, batch.step) == ([20], "play", 5)
    assert position.load(1, 4).step == 4  # the second of three again


def test_the_order_of_an_epoch_is_drawn_once_while_in_use() -> None:
    feed = RowFeed()
    table = micro_batches(feed)
    for step in (0, 1, 2, 1, 3, 4, 0):
        table.of_step(step)
    assert feed.asked == [("play", 0), ("play", 1), ("play", 2), ("play", 0)]
