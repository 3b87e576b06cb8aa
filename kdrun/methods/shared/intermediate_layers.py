"""Base of methods that match hidden states and attention maps before logits.

It holds the settings, the two phases, the projection, and the losses, one value per example.
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
    """Hidden states and attention maps of a teacher to cache.

    Attributes:
        pairs: pairs whose teacher layers are cached.
        maps: type of attention map, `scores` or `probabilities`.
        average_heads: whether to average maps over heads, because the student has another number of heads.
        forward: runs a model on inputs and returns its `hidden_states` and `attentions`.
    """

    pairs: LayerMapping
    maps: str
    average_heads: bool
    forward: Callable[[Any, dict[str, Tensor]], Any]

    @property
    def hidden_states(self) -> list[int]:
        """Indices of the hidden states."""
        return [teacher for _, teacher in self.pairs.hidden]

    @property
    def attention_layers(self) -> list[int]:
        """Indices of the layers whose maps are cached."""
        return [teacher for _, teacher in self.pairs.attention]


INTERMEDIATE, LOGITS = "intermediate", "logits"
"""Names of the two phases."""


class AttentionMaps(Enum):
    """Attention maps to compare: scores before the softmax, or probabilities."""

    scores = "scores"
    probabilities = "probabilities"


class TeacherStates(Enum):
    """Source of the teacher's hidden states and attention maps: computed at every step, or cached on disk."""

    recompute = "recompute"
    keep = "keep"


@dataclass
class IntermediateSettings:
    """Settings of the two phases; the settings of a method inherit them."""

    attention_maps: AttentionMaps = setting(
        AttentionMaps.scores, "maps to compare: scores before the softmax, or probabilities"
    )
    intermediate_fraction: float = setting(
        0.5,
        "share of the student's budget for hidden states and attention maps; the rest is for the logits",
        ge=0,
        lt=1,
    )
    teacher_states: TeacherStates = setting(
        TeacherStates.recompute,
        "the teacher's hidden states and maps: computed at every step, or once and cached on disk",
    )
    temperature: float = setting(2.0, "T of the logits phase: softens teacher and student alike", gt=0)


class IntermediateLayerMethod(Method):
    """Base of methods whose student learns hidden states and attention maps, then logits.

    `config` has the fields of `IntermediateSettings`. The projection is trained with the student in the first phase
    and is not saved with it.
    """

    def __init__(self, config: Any, context: MethodContext) -> None:
        super().__init__(config, context)
        student, teacher = (model_config(context.roles[role]) for role in ("student", "teacher"))
        self.pairs = uniform_layer_mapping(student.num_hidden_layers, teacher.num_hidden_layers)
        self.projection = make_projection(student.hidden_size, teacher.hidden_size, context.seed).to(context.device)
        self._phase = ""

    @classmethod
    def phases(cls, config: Any, optim: OptimConfig) -> list[Phase]:
        """Two phases that share the student's budget."""
        return student_phases(optim, config.intermediate_fraction)

    def on_phase_start(self, phase: Phase) -> None:
        """Remember the phase, which decides what trains."""
        self._phase = phase.name

    def trainable(self, role: str) -> Iterable[nn.Module]:
        """The role's model; for the student in the first phase also the projection."""
        modules = list(super().trainable(role))
        return [*modules, self.projection] if role == "student" and self._phase == INTERMEDIATE else modules

    def layer_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Errors of the student's hidden states and attention maps, [batch] each."""
        student, teacher = self.compute_states(batch)
        mask = batch.inputs["student"]["attention_mask"]
        return intermediate_losses(student, teacher, self.pairs, self.projection, mask)

    def compute_states(self, batch: Batch) -> tuple[Any, Any]:
        """Hidden states and attention maps of student and teacher; the teacher's come from disk if they are cached."""
        maps = self.config.attention_maps
        student = forward_with_states(self.roles["student"], batch.inputs["student"], maps, "student")
        if batch.teacher_states is not None:
            return student, batch.teacher_states()
        with torch.no_grad():
            return student, forward_with_states(self.roles["teacher"], batch.inputs["teacher"], maps, "teacher")

    def teacher_states_to_cache(self) -> TeacherStateSpec | None:
        """Teacher states to cache on disk; None if they are computed at every step."""
        if self.config.teacher_states is TeacherStates.recompute:
            return None
        maps = self.config.attention_maps
        heads = {model_config(self.roles[role]).num_attention_heads for role in ("student", "teacher")}

        def forward(model: Any, inputs: dict[str, Tensor]) -> Any:
            return forward_with_states(model, inputs, maps, "teacher")

        return TeacherStateSpec(self.pairs, maps.value, len(heads) > 1, forward)

    def logit_loss(self, batch: Batch) -> Tensor:
        """D(T(x)/T, S(x)/T) of the logits, [batch], without T² and labels. Scores have no temperature."""
        assert batch.teacher_logits is not None
        assert self.context.loss is not None
        temperature = 1.0 if self.context.task.is_regression else self.config.temperature
        logits = self.roles["student"](**batch.inputs["student"]).logits
        return self.context.loss(logits, batch.teacher_logits, temperature)


def student_phases(optim: OptimConfig, share: float) -> list[Phase]:
    """Phases that share a student's budget: hidden states and attention maps (not evaluated), then logits.

    Args:
        optim: the run's; its `epochs` or `steps` are the budget of both phases together, so that methods compare at
            equal student steps.
        share: budget share of the first phase; 0 leaves it out.

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
            raise ConfigError(["optim.steps=1 cannot be split between two phases; set at least 2"])
        steps = min(max(1, round(share * optim.steps)), optim.steps - 1)
        first, second = replace(first, steps=steps), replace(second, steps=optim.steps - steps)
    return [first, replace(second, epochs_before=first.epochs)]


def make_projection(student: int, teacher: int, seed: int) -> nn.Linear:
    """Linear map from the student's width to the teacher's for all hidden states: TinyBERT's `fit_dense`.

    As in TinyBERT's code it exists for equal widths too, its weights are initialized from a normal distribution with
    deviation 0.02 and its bias with zero. (The paper has a second matrix for the embeddings.)

    Args:
        student: width of the student's hidden states.
        teacher: width of the teacher's.
        seed: decides the weights.
    """
    # created on "meta", since the default initialization draws from the global generator
    layer = nn.Linear(student, teacher, device="meta").to_empty(device="cpu")
    nn.init.normal_(layer.weight, std=0.02, generator=rng.stream(seed, "init", "projection"))
    nn.init.zeros_(layer.bias)
    return layer


def forward_with_states(model: nn.Module, inputs: dict[str, Tensor], maps: AttentionMaps, role: str) -> Any:
    """Outputs of a model with its hidden states and attention maps.

    Args:
        model: BERT, DistilBERT or RoBERTa, for instance.
        inputs: keyword arguments of the model.
        maps: type of attention map.
        role: for messages.

    Returns:
        The outputs: `hidden_states`, L + 1 of [batch, length, width], and `attentions`, L of
        [batch, heads, length, length].

    Raises:
        ModelError: some are missing, because the model does not return them.
    """
    outputs = model(**inputs, output_hidden_states=True, output_attentions=True, attention_maps=maps.value)
    depth = model_config(model).num_hidden_layers
    for name, expected in (("hidden_states", depth + 1), ("attentions", depth)):
        count = len(outputs[name] or ())
        if count != expected:
            raise ModelError(
                f"the {role} ({type(model).__name__}, {depth} layers) returns {count} {name}, and {expected} are "
                f"needed; take a {titles()} model"
            )
    return outputs


def intermediate_losses(
    student: Any, teacher: Any, pairs: LayerMapping, project: nn.Module, mask: Tensor
) -> dict[str, Tensor]:
    """Errors of hidden states and of attention maps, summed over the pairs of layers (TinyBERT, equations 7 to 9).

        hidden = Σ MSE(H_S · W + b, H_T),  attention = Σ MSE(A_S, A_T)

    Means are taken over the tokens, heads and widths of an example; those of the released code include padding and the
    whole batch. If the numbers of heads differ, the maps of each model are averaged over its heads first.

    Args:
        student: outputs with `hidden_states` [batch, length, width] and `attentions` [batch, heads, length, length].
        teacher: likewise, on the same tokens.
        pairs: pairs of layers to compare.
        project: from the student's width to the teacher's.
        mask: attention mask [batch, length], 1 for tokens.

    Returns:
        `hidden` and `attention`, [batch] each, float32.
    """
    states = [
        losses.hidden_mse(project(student.hidden_states[i]), teacher.hidden_states[j], mask) for i, j in pairs.hidden
    ]
    maps = [
        losses.attention_mse(*_same_heads(student.attentions[i], teacher.attentions[j]), mask)
        for i, j in pairs.attention
    ]
    return {"hidden": torch.stack(states).sum(dim=0), "attention": torch.stack(maps).sum(dim=0)}


def _same_heads(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    if student.shape[1] == teacher.shape[1]:
        return student, teacher
    return student.float().mean(dim=1, keepdim=True), teacher.float().mean(dim=1, keepdim=True)


def model_config(model: Any) -> Any:
    """Config of a transformers model: depth, width, heads."""
    return model.config
