"""The one abstraction: what is minimised, by whom, on what, in what order.

A method never touches an optimizer, `requires_grad`, accumulation, clipping or a checkpoint: the loop does.
This module imports without torch, so that a method's schema can be read while the command line is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kdrun.phases import Phase, Turn

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from kdrun.config import OptimConfig
    from kdrun.data.config import TaskConfig
    from kdrun.data.tokens import Reader


@dataclass(frozen=True)
class Needs:
    """What a method asks of the run; checked for every method in one place before anything heavy loads."""

    teacher: bool = True
    """A teacher that has learnt the task."""
    labels: bool = True
    """The gold labels of the training rows."""
    data_free: bool = False
    """The student learns from out-of-domain text; training rows and labels of the task are out of its reach."""
    generator: bool = False
    """A model that makes text."""
    teacher_logits: bool = False
    """The teacher's logits on the unmodified training text; computed once and kept."""
    hidden_states: bool = False
    """Hidden states of teacher and student."""
    attentions: bool = False
    """Attention maps of teacher and student, which fused attention does not give."""
    paired_layers: bool = False
    """A student whose number of layers divides the teacher's: every r-th layer of the teacher has a counterpart."""
    domains: bool = False
    """Rows that say their domain: a task that has domains, by its protocol for them."""
    meta_teacher: bool = False
    """A teacher that learnt what transfers between domains, with its domain branch and the rows' transferability."""
    shared_vocabulary: bool = False
    """One vocabulary for all models: soft tokens pass between them, or they are compared token by token."""
    text_between: bool = False
    """A text-to-text generator and readers of any vocabulary: soft tokens pass between models of one, else text."""
    regression: bool = True
    """Whether tasks with a score instead of classes are possible."""
    extraction: bool = False
    """Whether tasks that are answered with a text are possible: logits and labels are then of each token of it."""
    inputs: tuple[str, ...] = ("student",)
    """The roles whose model inputs a batch carries."""


@dataclass
class Batch:
    """Examples on the device of the models.

    Attributes:
        ids: row numbers in the training split, [batch].
        inputs: per role, the arguments of its model (`input_ids`, …), [batch, length] each; shared between like roles.
            `decoder_input_ids`, where a text is to be written, is [batch, answer length].
        labels: class indices [batch] (int64), scores [batch] (float32), or of a task that is answered with a text its
            token ids, [batch, answer length], −100 behind its end; None for a method that needs none.
        teacher_logits: the teacher's logits on this very text, [batch, outputs], when the method needs them; of a task
            that is answered with a text those of every token, [batch, answer length, vocabulary], NaN behind its end.
        phase: name of the role's random streams in this phase, for `kdrun.rng.stream`.
        step: number of the role's micro-batch in the phase, for the same.
        progress: share of its steps in the phase that the role has taken, from 0 to 1.
        extras: further values per example by name, [batch, …] each: numbers in float32, indices in int64.
        teacher_states: reads the teacher's `hidden_states` and `attentions` on this text, where they are on disk.
    """

    ids: Tensor
    inputs: dict[str, dict[str, Tensor]]
    labels: Tensor | None = None
    teacher_logits: Tensor | None = None
    phase: str = ""
    step: int = 0
    progress: float = 0.0
    extras: dict[str, Tensor] = field(default_factory=dict)
    teacher_states: Callable[[], Any] | None = None


@dataclass
class StepOutput:
    """What a step returns: the loss summed over its examples, how many they were, and its terms for the log.

    The loop divides the gradient by the count over all micro-batches of a step, which keeps accumulation
    exact when the last micro-batch is smaller. Terms are sums over the examples too; so is what is watched,
    which is logged beside them but is no part of the loss.
    """

    loss: Tensor
    count: int
    terms: dict[str, Tensor] = field(default_factory=dict)
    watched: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Vocabulary:
    """What a method that changes tokens must know of the vocabulary that its models share.

    Attributes:
        mask_id: id of the mask token, where a model has one: T5 does not.
        special_ids: ids that are never changed and never made, [k], on the models' device.
    """

    mask_id: int | None
    special_ids: Tensor


@dataclass(frozen=True)
class MadeText:
    """Text that a method made of a batch, x′.

    Attributes:
        ids: as the generator wrote it, [batch, length].
        present: which of these tokens are not padding, [batch, length] bool.
        changed: which of them are the generator's, not the source's, [batch, length] bool.
        inputs: x′ as teacher and student read it: the keyword arguments of their models, by role.
        wanted: the class it was written for, [batch]; None where it was written for none.
    """

    ids: Tensor
    present: Tensor
    changed: Tensor
    inputs: dict[str, dict[str, Tensor]]
    wanted: Tensor | None = None


@dataclass
class Parts:
    """What a method is given: the models by role, the task, the distillation loss and the seed.

    `vocabulary` is there for methods whose models share one (`needs.shared_vocabulary`, and where it is so,
    `needs.text_between`); `readers` turn texts into a role's inputs.
    `loss(student_logits, teacher_logits, temperature)` returns one value per example.
    """

    roles: Mapping[str, nn.Module]
    task: TaskConfig
    loss: Callable[[Tensor, Tensor, float], Tensor] | None
    hard_loss: Callable[[Tensor, Tensor], Tensor]
    seed: int
    device: torch.device
    vocabulary: Vocabulary | None = None
    readers: Mapping[str, Reader] = field(default_factory=dict)


class Method:
    """Base of all methods. A subclass sets `needs` and writes `phases` and `step`."""

    needs: Needs = Needs()
    makes_text: bool = False
    """Whether the method makes text (`made_text`), of which a run then keeps samples."""
    zero_at_first: frozenset[str] = frozenset()
    """Loss terms that may be zero on their first batch: a distance from where training starts."""

    def __init__(self, config: Any, parts: Parts) -> None:
        self.config = config
        self.parts = parts
        self.roles = parts.roles

    def phases(self, optim: Any) -> list[Phase]:
        """The phases in order; by default one, in which the student learns on the task's rows.

        Reads `self.config` and `optim` alone, so that `kdrun explain` can show them without a model.
        """
        return [Phase("train", (Turn("student"),), optim.epochs, optim.steps, optim.batch_size, optim.accumulate)]

    def optims(self, optim: OptimConfig, phase: Phase) -> dict[str, OptimConfig]:
        """The optimizer of each role that trains in a phase; `optim` is the run's, for the student."""
        return {"student": optim}

    def begin(self, phase: Phase) -> None:
        """Called once before a phase: prototypes, caches."""

    def kept(self) -> Any:
        """What of the teacher's hidden states and maps is to be kept on disk (`kdrun.kept_states.Wanted`), or None."""
        return None

    def made_text(self, batch: Batch) -> MadeText:
        """Text made from a batch, without a gradient; for `makes_text` methods."""
        raise TypeError(f"{type(self).__name__} makes no text")

    def write(self, batch: Batch) -> MadeText:
        """Text to be kept, once training is over: by the generator that the method chose, where it chose one."""
        return self.made_text(batch)

    def rests(self, role: str) -> str:
        """Why the part of a role is over, so that its turns are passed over; empty while it is not.

        Asked before each step of the role, when no gradient is under way. The leading role of a phase never rests.
        """
        return ""

    @classmethod
    def problems(cls, config: Any, task: TaskConfig) -> list[str]:
        """What of the method's settings does not fit the task, beside `needs`; asked before anything loads."""
        return []

    def trainable(self, role: str) -> Iterable[nn.Module]:
        """The modules that a turn of this role trains: its model, by default; projections are added here."""
        return [self.roles[role]]

    def state(self) -> dict[str, Any]:
        """What a method carries from step to step, such as a moving mean, so that a checkpoint can hold it.

        Weights of the roles, of what `trainable` names, and their optimizers are the loop's to keep; what `begin` makes
        of the config and the seed alone need not be here.

        Returns:
            By name, tensors or plain data as JSON has it.
        """
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave, in a run that goes on; called after `begin` of the phase it goes on in."""
        if state:
            raise TypeError(f"{type(self).__name__} gives a state() and has no load_state() to take it up")

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """The loss of one micro-batch in one turn."""
        raise TypeError(f"{type(self).__name__} defines no step()")

    def minimised(self, batch: Batch, turn: Turn) -> StepOutput:
        """What the loop minimises: the step's loss, and what the models it trains ask for beside it.

        A model with `own_terms` (a classifier by label words) gives {name: (weight, mean over the rows of its passes)}.
        """
        output = self.step(batch, turn)
        for module in self.trainable(turn.role):
            own: Mapping[str, tuple[float, Tensor]] = module.own_terms() if hasattr(module, "own_terms") else {}  # pyright: ignore[reportCallIssue]
            for name, (weight, mean) in own.items():
                output.loss = output.loss + weight * output.count * mean
                output.terms[name] = output.count * mean.detach()
        return output
