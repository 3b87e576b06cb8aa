"""Base class of methods: losses, roles, phases and requirements.

A method never touches an optimizer, `requires_grad`, accumulation, clipping or a checkpoint; the trainer does.
This module imports without torch, so that the schema of a method can be read while the command line is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from kdrun.config.requirements import Requirements
from kdrun.config.validation import layers
from kdrun.data.batch import Batch
from kdrun.generation.types import GeneratedText, SharedVocabulary
from kdrun.lazy import lazy_module
from kdrun.methods.phases import Phase, Turn
from kdrun.methods.shared import layer_mapping

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from kdrun.config.optim import OptimConfig, OptimizerConfig
    from kdrun.config.task import TaskConfig
    from kdrun.data.tokenization import TextTokenizer
    from kdrun.tasks import task_types
    from kdrun.tasks.class_views import ClassView
else:
    task_types = lazy_module("kdrun.tasks.task_types")


@dataclass
class StepOutput:
    """Result of a step: the loss summed over its examples, their count, and its terms for the log.

    The trainer divides the gradient by the count over all micro-batches of a step, which keeps accumulation
    exact when the last micro-batch is smaller. Loss terms and metrics are sums over the examples too. Metrics are
    logged with the loss terms and are no part of the loss.
    """

    loss: Tensor
    count: int
    loss_terms: dict[str, Tensor] = field(default_factory=dict)
    metrics: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class MethodContext:
    """Models by role, task, losses and seed of a run, as methods get them.

    Attributes:
        roles: models by role.
        task: of the run.
        loss: `loss(student_logits, teacher_logits, temperature)`, one value per example; None without a teacher.
        hard_loss: `hard_loss(logits, labels)`, one value per example; zero for a row without a label.
        seed: of the run.
        device: that the models are on.
        vocabulary: the one that all models share; None where the method does not need one or vocabularies differ.
        tokenizers: by role; they turn texts into a role's inputs.
        num_rows: number of rows that the student trains on.
    """

    roles: Mapping[str, nn.Module]
    task: TaskConfig
    loss: Callable[[Tensor, Tensor, float], Tensor] | None
    hard_loss: Callable[[Tensor, Tensor], Tensor]
    seed: int
    device: torch.device
    vocabulary: SharedVocabulary | None = None
    tokenizers: Mapping[str, TextTokenizer] = field(default_factory=dict)
    num_rows: int = 0

    def class_view(self) -> ClassView:
        """View of the task's models as classifiers.

        Raises:
            ModelError: the models cannot tell the task's classes apart.
        """
        teacher: Any = self.roles["teacher"]
        tokenizer = self.tokenizers["teacher"].tokenizer if "teacher" in self.tokenizers else None
        decoder_start_id = getattr(teacher.config, "decoder_start_token_id", None)
        return task_types.task_type_of(self.task).class_view(tokenizer, decoder_start_id)


@runtime_checkable
class HasAuxiliaryLosses(Protocol):
    """A model that adds losses of its last forward passes to those of the method, such as T5 scoring label words."""

    def auxiliary_losses(self) -> Mapping[str, tuple[float, Tensor]]:
        """By name, the weight and the mean over the rows of the passes since the last call."""
        ...


class Method:
    """Base of all methods. A subclass sets `requires` and defines `step`; several define `phases`.

    Args:
        config: the settings of the method.
        context: models, task, losses and seed.
    """

    requires: Requirements = Requirements()
    generates_text: bool = False
    """Whether the method generates text (`generate_text`), of which a run then keeps samples."""
    loss_weights: ClassVar[dict[str, tuple[str, ...]]] = {"student": ("hard_weight", "soft_weight", "pseudo_weight")}
    """By role, the settings that weight all terms of its loss; they must not all be 0. Missing settings are ignored."""
    may_start_at_zero: frozenset[str] = frozenset()
    """Loss terms that may be zero on their first batch, such as a distance from the initial weights."""

    def __init__(self, config: Any, context: MethodContext) -> None:
        self.config = config
        self.context = context
        self.roles = context.roles

    @classmethod
    def phases(cls, config: Any, optim: OptimConfig) -> list[Phase]:
        """Phases in order; by default one, in which the student trains on the task's rows.

        Args:
            config: the method's settings.
            optim: the run's budget and batch size.
        """
        return [Phase.from_budget("train", (Turn("student"),), optim)]

    def optimizers(self, optim: OptimConfig, phase: Phase) -> dict[str, OptimizerConfig]:
        """Optimizers of the roles that train in a phase; `optim` is the run's, for the student."""
        return {"student": optim}

    def on_phase_start(self, phase: Phase) -> None:
        """Prepare a phase; called once before it starts."""

    def teacher_states_to_cache(self) -> Any:
        """Hidden states and attention maps of the teacher to cache on disk; None for none.

        See `kdrun.methods.shared.intermediate_layers.TeacherStateSpec`.
        """
        return None

    def generate_text(self, batch: Batch) -> GeneratedText:
        """Text generated from a batch, without a gradient; for methods with `generates_text`."""
        raise TypeError(f"{type(self).__name__} generates no text")

    def prepare_export(self) -> None:
        """Choose the generator of the text to export, after training; called once in every process of a run."""

    def on_step_end(self, turn: Turn) -> None:
        """Update state that changes once per optimizer step; called in every process of a run after each step."""

    def stop_reason(self, role: str) -> str:
        """Reason to stop training a role for the rest of the phase; empty to continue.

        Called before each step of the role, between gradient computations. The leading role of a phase never stops.
        """
        return ""

    @classmethod
    def config_problems(cls, config: Any, task: TaskConfig) -> list[str]:
        """Conflicts between the method's settings and the task, besides `requires`; checked before anything loads."""
        return []

    @classmethod
    def depth_mismatch(cls, config: Any, student: int, teacher: int) -> str:
        """Why two depths do not fit the method, with depths that do; empty where they fit.

        Asked before anything loads, of a method that compares states of student and teacher.

        Args:
            config: the method's settings.
            student: number of its layers.
            teacher: likewise.
        """
        return layers.depth_mismatch(student, teacher) if cls.requires.paired_layers else ""

    @classmethod
    def compared_layers(cls, config: Any, student: nn.Module, teacher: nn.Module) -> list[tuple[str, str]]:
        """Layers of student and teacher that the method compares, for the console, as (name, description).

        Asked once both models are built, of a method that compares their states.

        Args:
            config: the method's settings.
            student: its model.
            teacher: likewise.

        Raises:
            ModelError: the models do not fit each other or the method.
        """
        models: tuple[Any, Any] = student, teacher
        return layer_mapping.describe(*(model.config for model in models)) if cls.requires.paired_layers else []

    def trainable(self, role: str) -> Iterable[nn.Module]:
        """Modules that a turn of this role trains: by default its model; subclasses add projections."""
        return [self.roles[role]]

    def state(self) -> dict[str, Any]:
        """State that a method carries from step to step, such as a moving mean, for checkpoints.

        The trainer saves the weights of the roles and of the modules of `trainable`, and their optimizers. State that
        `on_phase_start` derives from the config and the seed alone does not belong here.

        Returns:
            By name, tensors or plain JSON data.
        """
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned, in a resumed run; called after `on_phase_start` of the current phase."""
        if state:
            raise TypeError(f"{type(self).__name__} defines state() without load_state()")

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """Loss of one micro-batch in one turn."""
        raise TypeError(f"{type(self).__name__} defines no step()")

    def total_loss(self, batch: Batch, turn: Turn) -> StepOutput:
        """Loss that the trainer minimizes: the step's loss plus auxiliary losses of the trained models."""
        output = self.step(batch, turn)
        for module in self.trainable(turn.role):
            auxiliary = module.auxiliary_losses() if isinstance(module, HasAuxiliaryLosses) else {}
            for name, (weight, mean) in auxiliary.items():
                output.loss = output.loss + weight * output.count * mean
                output.loss_terms[name] = output.count * mean.detach()
        return output
