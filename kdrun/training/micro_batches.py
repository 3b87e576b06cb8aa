"""Micro-batches of a role's optimizer steps in a phase."""

from __future__ import annotations

import numpy as np

from kdrun.data.batch import Batch, BatchSource, StepPosition
from kdrun.methods.phases import Phase, steps_per_epoch

EPOCHS_KEPT = 2
"""Epochs whose order is kept: reused text can come from the epoch before."""


class MicroBatches:
    """Micro-batches of a role in a phase, as a function of the step.

    Every role passes over the rows independently of the others, so the batch of the student's k-th step does not depend
    on the turns of other roles.

    Args:
        loader: the training rows.
        phase: the phase.
        role: whose steps these are.
        seed: seed of the order.
        num_steps: steps of the role in the phase.
    """

    def __init__(self, loader: BatchSource, phase: Phase, role: str, seed: int, num_steps: int) -> None:
        self.loader, self.phase, self.seed, self.num_steps = loader, phase, seed, num_steps
        self.name = phase.rng_name(role)
        self._steps_per_epoch = steps_per_epoch(phase, loader.num_rows)
        self._orders: dict[int, list[np.ndarray]] = {}

    def of_step(self, step: int) -> list[tuple[int, np.ndarray]]:
        """Micro-batches of an optimizer step: each one's number in the phase, and its rows."""
        epoch, step_of_epoch = divmod(step, self._steps_per_epoch)
        order, size = self._order(epoch), self.phase.gradient_accumulation_steps
        first = step_of_epoch * size
        return [(epoch * len(order) + first + i, rows) for i, rows in enumerate(order[first : first + size])]

    def position(self, step: int, number: int) -> StepPosition:
        """Position of the micro-batch with this number, which belongs to this step."""
        return StepPosition(step, number - self.of_step(step)[0][0], self.num_steps, self.load)

    def load(self, step: int, index: int) -> Batch:
        """Load a micro-batch of a step; a step with fewer micro-batches starts over with its first."""
        micro_batches = self.of_step(step)
        number, rows = micro_batches[index % len(micro_batches)]
        return self.loader.load_batch(rows, self.name, number)

    def _order(self, epoch: int) -> list[np.ndarray]:
        order = self._orders.get(epoch)
        if order is None:
            order = self.loader.epoch_batches(self.phase.batch_size, self.seed, self.name, epoch)
            self._orders = dict([*self._orders.items(), (epoch, order)][-EPOCHS_KEPT:])
        return order
