"""Base class of methods: losses, roles, phases and requirements.

A method never touches an optimizer, `requires_grad`, accumulation, clipping or a checkpoint: the loop does.
This module imports without torch, so that a method's schema can be read while the command line is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kdrun.config.requirements import Requirements
from kdrun.data.batch import Batch
from kdrun.generation.types import GeneratedText, SharedVocabulary
from kdrun.lazy import lazy_module
from kdrun.methods.phases import Phase, Turn

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from kdrun.config.optim import OptimConfig
    from kdrun.config.task import TaskConfig
    from kdrun.data.tokenization import TextTokenizer
    from kdrun.tasks import task_types
    from kdrun.tasks.class_views import ClassView
else:
    task_types = lazy_module("kdrun.tasks.task_types")


@dataclass
class StepOutput:
    """What a step returns: the loss summed over its examples, how many they were, and its terms for the log.

    The loop divides the gradient by the count over all micro-batches of a step, which keeps accumulation
    exact when the last micro-batch is smaller. Terms are sums over the examples too; so is what is watched,
    which is logged beside them but is no part of the loss.
    """

    loss: Tensor
    count: int
    loss_terms: dict[str, Tensor] = field(default_factory=dict)
    metrics: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class MethodContext:
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
    vocabulary: SharedVocabulary | None = None
    tokenizers: Mapping[str, TextTokenizer] = field(default_factory=dict)

    def class_view(self) -> ClassView:
        """View of the task's models as classifiers.

        Raises:
            ModelError: the models cannot tell the task's classes apart.
        """
        config, reader = getattr(self.roles.get("teacher"), "config", None), self.tokenizers.get("teacher")
        tokenizer = reader.tokenizer if reader else None
        return task_types.task_type_of(self.task).class_view(tokenizer, getattr(config, "decoder_start_token_id", None))


class Method:
    """Base of all methods. A subclass sets `needs` and writes `phases` and `step`."""

    requires: Requirements = Requirements()
    generates_text: bool = False
    """Whether the method makes text (`made_text`), of which a run then keeps samples."""
    may_start_at_zero: frozenset[str] = frozenset()
    """Loss terms that may be zero on their first batch: a distance from where training starts."""

    def __init__(self, config: Any, context: MethodContext) -> None:
        self.config = config
        self.context = context
        self.roles = context.roles

    @classmethod
    def phases(cls, config: Any, optim: OptimConfig) -> list[Phase]:
        """Phases in order; by default one, in which the student learns on the task's rows.

        Args:
            config: the method's settings.
            optim: the run's budget and batch size.
        """
        return [Phase.from_budget("train", (Turn("student"),), optim)]

    def optimizers(self, optim: OptimConfig, phase: Phase) -> dict[str, OptimConfig]:
        """The optimizer of each role that trains in a phase; `optim` is the run's, for the student."""
        return {"student": optim}

    def on_phase_start(self, phase: Phase) -> None:
        """Called once before a phase: prototypes, caches."""

    def teacher_states_to_cache(self) -> Any:
        """Hidden states and attention maps of the teacher to cache on disk; None for none.

        See `kdrun.methods.shared.intermediate_layers.TeacherStateSpec`.
        """
        return None

    def generate_text(self, batch: Batch) -> GeneratedText:
        """Text made from a batch, without a gradient; for `makes_text` methods."""
        raise TypeError(f"{type(self).__name__} makes no text")

    def generate_for_export(self, batch: Batch) -> GeneratedText:
        """Text to be kept, once training is over: by the generator that the method chose, where it chose one."""
        return self.generate_text(batch)

    def stop_reason(self, role: str) -> str:
        """Why the part of a role is over, so that its turns are passed over; empty while it is not.

        Asked before each step of the role, when no gradient is under way. The leading role of a phase never rests.
        """
        return ""

    @classmethod
    def config_problems(cls, config: Any, task: TaskConfig) -> list[str]:
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

    def total_loss(self, batch: Batch, turn: Turn) -> StepOutput:
        """What the loop minimises: the step's loss, and what the models it trains ask for beside it.

        A model with `own_terms` (a classifier by label words) gives {name: (weight, mean over the rows of its passes)}.
        """
        output = self.step(batch, turn)
        for module in self.trainable(turn.role):
            auxiliary: Callable[[], Mapping[str, tuple[float, Tensor]]] | None = getattr(
                module, "auxiliary_losses", None
            )
            for name, (weight, mean) in (auxiliary() if auxiliary else {}).items():
                output.loss = output.loss + weight * output.count * mean
                output.loss_terms[name] = output.count * mean.detach()
        return output
