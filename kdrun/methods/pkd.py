"""Patient knowledge distillation (Sun et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from kdrun.config.fields import setting
from kdrun.config.requirements import Requirements
from kdrun.data.batch import Batch
from kdrun.errors import ModelError
from kdrun.lazy import lazy_module
from kdrun.methods.base import Method, MethodContext, StepOutput
from kdrun.methods.phases import Turn
from kdrun.methods.shared.intermediate_layers import make_projection
from kdrun.methods.shared.labels_and_logits import LabelsAndLogitsSettings, labels_and_logits_loss
from kdrun.methods.shared.text_vectors import check_first_token, first_token_states
from kdrun.registry import register

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F
else:
    torch, F = lazy_module("torch"), lazy_module("torch.nn.functional")


class LayerChoice(Enum):
    """Layers of the teacher: evenly spaced over its depth, or its last ones before the last."""

    skip = "skip"
    last = "last"


@dataclass
class PKDConfig(LabelsAndLogitsSettings):
    """Settings of patient distillation."""

    name: str = setting("pkd", "registered method")
    temperature: float = setting(10.0, "T: softens teacher and student alike", gt=0)
    hard_weight: float = setting(0.3, "1 − α: weight of the loss on the labels", ge=0)
    soft_weight: float = setting(0.7, "α: weight of the loss on the teacher's logits", ge=0)
    patience_weight: float = setting(500.0, "β: weight of the error of the states of [CLS]", ge=0)
    layers: LayerChoice = setting(
        LayerChoice.skip, "layers of the teacher: evenly spaced over its depth, or its last ones before the last"
    )


@register("method", "pkd", config=PKDConfig)
class PKD(Method):
    """Minimize over the student, and over a projection W if the widths of student and teacher differ:

        L = hard_weight · hard(S(x), y) + soft_weight · T² · D(T(x)/T, S(x)/T)
          + patience_weight · 1/((M − 1) · d) · Σ_j ‖ h_S^j/‖h_S^j‖ − h_T^I(j)/‖h_T^I(j)‖ ‖²,  j = 1 … M − 1

    h^j is the state of the first token, [CLS], after layer j of M layers of the student and L of the teacher, and d the
    teacher's width. I(j) = j · L/M for `skip`, rounded where M does not divide L, and L − M + j for `last`. The last
    layer is left out, since the logits depend on it, unless it is the student's only one (M = 1: its state and the
    teacher's last are compared, with the factor 1/d [ours]). D is the run's loss.

    Differences:
        temperature: the paper tried 5, 10 and 20.
        soft_weight: the paper tried 0.2, 0.5 and 0.7 for α. Its hard weight is 1 − α.
        patience_weight: the paper tried 10, 100, 500 and 1000 for β. Its formula sums over layers and widths; its code
            takes the mean, as here.
        - where the widths differ, W · h_S + b takes the place of h_S, one W for all layers, trained with the student
            and not saved with it [ours]. The paper's students have the teacher's width; with equal widths there is
            no W.
        - the code's soft loss is averaged over the classes too, so that its gradient is smaller by their number.
        - the code reads the teacher's states from a file that it writes once; here they are computed at every step.
        - a student begins best with the teacher's first layers, as the paper's do: student=layers_of
            student.layers=[0,1,2].

    Cost:
        student: one forward and one backward pass per row.
        teacher: one forward pass per row and step; its logits are cached.
    """

    requires = Requirements(
        teacher_logits=True, hidden_states=True, unlabeled=True, inputs=("student", "teacher"), multi_label=True
    )
    loss_weights: ClassVar = {"student": ("hard_weight", "soft_weight", "patience_weight")}
    config: PKDConfig

    def __init__(self, config: PKDConfig, context: MethodContext) -> None:
        super().__init__(config, context)
        models: list[Any] = [context.roles[role] for role in ("student", "teacher")]
        student, teacher = (model.config for model in models)
        self.pairs = patient_pairs(config.layers, student.num_hidden_layers, teacher.num_hidden_layers)
        self.projection: nn.Linear | None = None
        if student.hidden_size != teacher.hidden_size:
            projection = make_projection(student.hidden_size, teacher.hidden_size, context.seed)
            self.projection = projection.to(context.device)

    @classmethod
    def depth_mismatch(cls, config: PKDConfig, student: int, teacher: int) -> str:
        """Why the student has too many layers."""
        if 1 <= student <= teacher:
            return ""
        return (
            f"the student has {student} layers and the teacher {teacher}: method=pkd compares each of the student's "
            f"layers but the last with another one of the teacher's; take a student of 1 to {teacher} layers"
        )

    @classmethod
    def compared_layers(cls, config: PKDConfig, student: Any, teacher: Any) -> list[tuple[str, str]]:
        """The pairs of layers, and the projection if there is one."""
        for role, model in (("student", student), ("teacher", teacher)):
            check_first_token(model, role)
        pairs = patient_pairs(config.layers, student.config.num_hidden_layers, teacher.config.num_hidden_layers)
        widths = student.config.hidden_size, teacher.config.hidden_size
        projection = "" if widths[0] == widths[1] else f", through one learned projection {widths[0]} → {widths[1]}"
        text = ", ".join(f"{of_student}–{of_teacher}" for of_student, of_teacher in pairs)
        return [("states of [CLS]", f"{text} (1: after the first layer){projection}")]

    def trainable(self, role: str) -> Iterable[nn.Module]:
        """The role's model; for the student also the projection."""
        modules = list(super().trainable(role))
        return [*modules, self.projection] if role == "student" and self.projection is not None else modules

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """Summed loss of one micro-batch."""
        student, logits = first_token_states(self.roles["student"], batch.inputs["student"])
        with torch.no_grad():
            teacher, _ = first_token_states(self.roles["teacher"], batch.inputs["teacher"])
        loss, terms = labels_and_logits_loss(self.context, self.config, batch, logits)
        project = self.projection or (lambda states: states)
        errors = [direction_error(project(student[i]), teacher[j]) for i, j in self.pairs]
        patience = torch.stack(errors).mean(dim=0).sum()
        terms["patience"] = patience.detach()
        return StepOutput(loss + self.config.patience_weight * patience, len(batch.ids), terms)


def patient_pairs(layers: LayerChoice, student: int, teacher: int) -> list[tuple[int, int]]:
    """Layers of the student and of the teacher to compare, from 1.

    Args:
        layers: of the teacher.
        student: M, its number of layers.
        teacher: L.

    Raises:
        ModelError: the student has more layers than the teacher.
    """
    if text := PKD.depth_mismatch(PKDConfig(), student, teacher):
        raise ModelError(text)
    if student == 1:
        return [(1, teacher)]
    if layers is LayerChoice.last:
        return [(j, teacher - student + j) for j in range(1, student)]
    return [(j, (2 * j * teacher + student) // (2 * student)) for j in range(1, student)]


def direction_error(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of two vectors of length 1: ‖s/‖s‖ − t/‖t‖‖² / d.

    Args:
        student: [batch, d].
        teacher: the same shape.

    Returns:
        Values in [0, 4/d], [batch].
    """
    directions = (F.normalize(vectors.float(), dim=-1) for vectors in (student, teacher))
    first, second = directions
    return (first - second).square().mean(dim=-1)
