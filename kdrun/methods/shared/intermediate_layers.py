"""Base of methods that match hidden states and attention maps before logits.

Pieces that methods put together: the settings, the two phases, the projection, and the losses, one value per example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from kdrun import rng
from kdrun.config.architectures import titles
from kdrun.config.fields import setting
from kdrun.config.optim import OptimConfig
from kdrun.data.batch import Batch
from kdrun.errors import ConfigError, ModelError
from kdrun.lazy import lazy_module
from kdrun.methods.base import Method, MethodContext
from kdrun.methods.phases import Phase, Turn
from kdrun.methods.shared.layer_mapping import LayerMapping, uniform_layer_mapping

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from kdrun import losses
else:
    torch, nn, losses = lazy_module("torch"), lazy_module("torch.nn"), lazy_module("kdrun.losses")


@dataclass(frozen=True)
class TeacherStateSpec:
    """What is kept of a teacher.

    Attributes:
        pairs: whose teacher's layers.
        maps: kind of attention map, `scores` or `probabilities`.
        averaged: whether maps are means over heads, because the student has another number of them.
        look: runs a model on inputs and returns its `hidden_states` and `attentions`.
    """

    pairs: LayerMapping
    maps: str
    averaged: bool
    look: Callable[[Any, dict[str, Tensor]], Any]

    @property
    def states(self) -> list[int]:
        """Numbers of the hidden states."""
        return [other for _, other in self.pairs.hidden]

    @property
    def layers(self) -> list[int]:
        """Numbers of the layers whose maps are kept."""
        return [other for _, other in self.pairs.attention]


INTERMEDIATE, LOGITS = "intermediate", "logits"
"""Names of the two phases."""


class AttentionMaps(Enum):
    """What is compared as an attention map: scores before the softmax, or probabilities."""

    scores = "scores"
    probabilities = "probabilities"


class TeacherStates(Enum):
    """Where the teacher's hidden states and attention maps come from: computed at every step, or kept on disk."""

    recompute = "recompute"
    keep = "keep"


@dataclass
class IntermediateSettings:
    """Settings of the two phases; a method's own settings inherit them."""

    attention_maps: AttentionMaps = setting(
        AttentionMaps.scores, "what is compared as a map: scores before the softmax, or probabilities"
    )
    intermediate_fraction: float = setting(
        0.5,
        "share of the student's budget for hidden states and attention maps; the rest is for the logits",
        ge=0,
        lt=1,
    )
    teacher_states: TeacherStates = setting(
        TeacherStates.recompute,
        "the teacher's hidden states and maps: computed at every step, or once and kept on disk",
    )
    temperature: float = setting(2.0, "T of the logits phase: softens teacher and student alike", gt=0)


class IntermediateLayerMethod(Method):
    """Base of methods whose student learns hidden states and attention maps, then logits.

    `config` has the fields of `IntermediateSettings`. The projection is trained with the student in the first phase,
    and is no part of the student: the saved student does not hold it.
    """

    def __init__(self, config: Any, parts: MethodContext) -> None:
        super().__init__(config, parts)
        student, teacher = (model_config(parts.roles[role]) for role in ("student", "teacher"))
        self.pairs = uniform_layer_mapping(student.num_hidden_layers, teacher.num_hidden_layers)
        self.projection = projection(student.hidden_size, teacher.hidden_size, parts.seed).to(parts.device)
        self._phase = ""

    @classmethod
    def phases(cls, config: Any, optim: OptimConfig) -> list[Phase]:
        """The student's budget in two parts."""
        return student_phases(optim, config.intermediate_fraction)

    def on_phase_start(self, phase: Phase) -> None:
        """Remember the phase: it decides what trains."""
        self._phase = phase.name

    def trainable(self, role: str) -> Iterable[nn.Module]:
        """The role's model; with the student, while it learns hidden states, the projection."""
        own = list(super().trainable(role))
        return [*own, self.projection] if role == "student" and self._phase == INTERMEDIATE else own

    def layer_losses(self, batch: Batch) -> dict[str, Tensor]:
        """How far the student's hidden states and attention maps are from the teacher's, [batch] each."""
        own, taught = self.states(batch)
        mask = batch.inputs["student"]["attention_mask"]
        return intermediate_losses(own, taught, self.pairs, self.projection, mask)

    def states(self, batch: Batch) -> tuple[Any, Any]:
        """Hidden states and attention maps of student and teacher, the latter's from disk where they are kept."""
        maps = self.config.attention_maps
        own = forward_with_states(self.roles["student"], batch.inputs["student"], maps, "student")
        if batch.teacher_states is not None:
            return own, batch.teacher_states()
        with torch.no_grad():
            return own, forward_with_states(self.roles["teacher"], batch.inputs["teacher"], maps, "teacher")

    def teacher_states_to_cache(self) -> TeacherStateSpec | None:
        """What of the teacher is to be kept on disk; None where it is computed at every step."""
        if self.config.teacher_states is TeacherStates.recompute:
            return None

        maps = self.config.attention_maps
        heads = {model_config(self.roles[role]).num_attention_heads for role in ("student", "teacher")}

        def watch(model: Any, inputs: dict[str, Tensor]) -> Any:
            return forward_with_states(model, inputs, maps, "teacher")

        return TeacherStateSpec(self.pairs, maps.value, len(heads) > 1, watch)

    def logit_loss(self, batch: Batch) -> Tensor:
        """D(T(x)/T, S(x)/T) of the logits, [batch]: no T², no labels. A score has no temperature."""
        assert batch.teacher_logits is not None
        assert self.context.loss is not None
        temperature = 1.0 if self.context.task.is_regression else self.config.temperature
        logits = self.roles["student"](**batch.inputs["student"]).logits
        return self.context.loss(logits, batch.teacher_logits, temperature)


def student_phases(optim: OptimConfig, share: float) -> list[Phase]:
    """A student's budget in two phases: hidden states and attention maps (unscored), then logits.

    Args:
        optim: the run's; its `epochs` or `steps` are the budget of both phases together, so that methods compare at
            equal student steps.
        share: of the first phase; 0 leaves it out.

    Raises:
        ConfigError: the budget is a single step.
    """
    turns = (Turn("student"),)
    if not share:
        return [Phase.from_budget(LOGITS, turns, optim)]
    first = Phase.from_budget(INTERMEDIATE, turns, optim, fraction=share, evaluated=False)
    second = Phase.from_budget(LOGITS, turns, optim, fraction=1 - share)
    if optim.steps is not None:
        if optim.steps < 2:
            raise ConfigError(["optim.steps=1 cannot be shared between two phases; set at least 2"])
        steps = min(max(1, round(share * optim.steps)), optim.steps - 1)
        first, second = replace(first, steps=steps), replace(second, steps=optim.steps - steps)
    return [first, replace(second, epochs_before=first.epochs)]


def projection(student: int, teacher: int, seed: int) -> nn.Linear:
    """One linear map from the student's width to the teacher's for all hidden states: TinyBERT's `fit_dense`.

    As in its code it is there at equal widths too, its weights start normal with deviation 0.02 and its bias at zero
    (the paper has a second matrix for the embeddings).

    Args:
        student: width of its hidden states.
        teacher: likewise.
        seed: decides the weights.
    """
    # without the weights it would draw from the global generator
    made = nn.Linear(student, teacher, device="meta").to_empty(device="cpu")
    nn.init.normal_(made.weight, std=0.02, generator=rng.stream(seed, "init", "projection"))
    nn.init.zeros_(made.bias)
    return made


def forward_with_states(model: nn.Module, inputs: dict[str, Tensor], maps: AttentionMaps, role: str) -> Any:
    """A model's answer with its hidden states and attention maps.

    Returns:
        Its outputs: `hidden_states`, L + 1 of [batch, length, width], and `attentions`, L of
        [batch, heads, length, length].

    Raises:
        ModelError: some are missing, as those of a model that was not built to give them.
    """
    out = model(**inputs, output_hidden_states=True, output_attentions=True, attention_maps=maps.value)
    depth = model_config(model).num_hidden_layers
    for kind, wanted in (("hidden_states", depth + 1), ("attentions", depth)):
        found = len(out[kind] or ())
        if found != wanted:
            raise ModelError(
                f"the {role} ({type(model).__name__}, {depth} layers) gives {found} {kind} where {wanted} are wanted; "
                f"take a {titles()} model"
            )
    return out


def intermediate_losses(
    student: Any, teacher: Any, pairs: LayerMapping, project: nn.Module, mask: Tensor
) -> dict[str, Tensor]:
    """Errors of hidden states and of attention maps, summed over the pairs of layers (TinyBERT, equations 7 to 9).

        hidden = Σ MSE(H_S · W + b, H_T),  attention = Σ MSE(A_S, A_T)

    Means run over an example's own tokens, heads and widths; the released code's also run over padding and over the
    batch. Where the numbers of heads differ, each side's maps are averaged over its heads first.

    Args:
        student: outputs with `hidden_states` [batch, length, width] and `attentions` [batch, heads, length, length].
        teacher: likewise, on the same tokens.
        pairs: which of them are compared.
        project: from the student's width to the teacher's.
        mask: attention mask [batch, length], 1 for tokens.

    Returns:
        `hidden` and `attention`, [batch] each, float32.
    """
    states = [
        losses.hidden_mse(project(student.hidden_states[own]), teacher.hidden_states[other], mask)
        for own, other in pairs.hidden
    ]
    maps = [
        losses.attention_mse(*_same_heads(student.attentions[own], teacher.attentions[other]), mask)
        for own, other in pairs.attention
    ]
    return {"hidden": torch.stack(states).sum(dim=0), "attention": torch.stack(maps).sum(dim=0)}


def _same_heads(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    if student.shape[1] == teacher.shape[1]:
        return student, teacher
    return student.float().mean(dim=1, keepdim=True), teacher.float().mean(dim=1, keepdim=True)


def model_config(model: Any) -> Any:
    """A transformers model's config: depth, width, heads."""
    return model.config
