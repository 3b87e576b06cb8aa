"""MiniLMv2 relation distillation, then logits (Wang et al. 2021)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdrun.config.fields import setting
from kdrun.config.optim import OptimConfig
from kdrun.config.requirements import Requirements
from kdrun.data.batch import Batch
from kdrun.errors import ModelError
from kdrun.lazy import lazy_module
from kdrun.methods.base import Method, MethodContext, StepOutput
from kdrun.methods.phases import Phase, Turn
from kdrun.methods.shared.intermediate_layers import INTERMEDIATE, student_phases
from kdrun.methods.shared.labels_and_logits import LabelsAndLogitsSettings, labels_and_logits_loss
from kdrun.registry import register

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from kdrun.models import attention_vectors
else:
    torch = lazy_module("torch")
    attention_vectors = lazy_module("kdrun.models.attention_vectors")

BASE_DEPTH = 12
"""Layers of a base-size teacher, whose last layer is distilled; of a deeper one it is the layer at 7/8 of its depth."""
LARGE_WIDTH, BASE_HEADS, LARGE_HEADS = 1024, 48, 64
"""Width from which a teacher is large, and relation heads of a base-size and a large teacher."""
NARROWEST_HEAD = 6
"""Least width of a relation head by default: that of the paper's students of width 384 with 64 heads."""


@dataclass
class MiniLMConfig(LabelsAndLogitsSettings):
    """Settings of relation distillation."""

    name: str = setting("minilm", "registered method")
    teacher_layer: int | None = setting(
        None, "layer of the teacher, from 1; null: the last of up to 12, else the one at 7/8 of the depth", gt=0
    )
    relation_heads: int | None = setting(
        None, "A_r, which must divide the widths of student and teacher; null: as the paper's, or as many as fit", gt=0
    )
    intermediate_fraction: float = setting(
        0.5, "share of the student's budget for the relations; the rest is for labels and logits", ge=0, lt=1
    )


@register("method", "minilm", config=MiniLMConfig)
class MiniLM(Method):
    """Minimize over the student:

        intermediate:  L = Σ over X in {Q, K, V} of 1/(A_r · n) · Σ_a Σ_t KL(R_T[X, a, t] ‖ R_S[X, a, t])
        logits:        L = hard_weight · hard(S(x), y) + soft_weight · T² · D(T(x)/T, S(x)/T)

    R[X, a, t] = softmax over the tokens u of X_a[t] · X_a[u] / √d is the relation of token t to the n tokens of its
    text in relation head a. The queries, keys and values of all attention heads of a layer are put next to each other
    and split into A_r relation heads of width d. So teacher and student may differ in depth, width and number of
    attention heads, and nothing is projected. The student's last layer learns from one layer of the teacher
    (`teacher_layer`). The second phase is that of kd: D is the run's loss, for a score a squared difference.

    Differences:
        teacher_layer: the paper takes the last layer of base-size teachers, the 21st of 24 of BERT-large and the 19th
            of RoBERTa-large and XLM-R-large.
        relation_heads: 48 for base-size and 64 for large teachers, as in the paper, where they divide both widths and
            leave heads of at least 6; else the largest number below that does.
        intermediate_fraction: the paper distills a pretrained teacher on its pretraining corpus for 400,000 steps and
            fine-tunes the student on labels; here both phases run on the rows of the task, with its teacher.
        - the second phase has the teacher's logits too; hard_weight=1 soft_weight=0 is the paper's fine-tuning.
        - the authors published no training code. A reimplementation (bloomberg/minilmv2.bb) gives the same values.

    Cost:
        student: one forward and one backward pass per row; in the first phase also 3 · A_r relations of n² tokens.
        teacher: one forward pass per row and step of the first phase; its logits are cached.
    """

    requires = Requirements(
        teacher_logits=True,
        attention_vectors=True,
        shared_vocabulary=True,
        unlabeled=True,
        inputs=("student", "teacher"),
        multi_label=True,
    )
    config: MiniLMConfig

    def __init__(self, config: MiniLMConfig, context: MethodContext) -> None:
        super().__init__(config, context)
        self.projections = projections_of_roles(config, context.roles["student"], context.roles["teacher"])
        widths = {role: projections.width for role, projections in self.projections.items()}
        self.relation_heads = num_relation_heads(config.relation_heads, widths["student"], widths["teacher"])

    @classmethod
    def phases(cls, config: MiniLMConfig, optim: OptimConfig) -> list[Phase]:
        """Relations, which are not evaluated, then logits; both share the student's budget."""
        return student_phases(optim, config.intermediate_fraction)

    @classmethod
    def depth_mismatch(cls, config: MiniLMConfig, student: int, teacher: int) -> str:
        """Why there is no such layer of the teacher; any depth of the student fits."""
        if config.teacher_layer is None or config.teacher_layer <= teacher:
            return ""
        return f"method.teacher_layer={config.teacher_layer}: the teacher has {teacher} layers"

    @classmethod
    def compared_layers(cls, config: MiniLMConfig, student: Any, teacher: Any) -> list[tuple[str, str]]:
        """The layers, and the split into relation heads."""
        projections = projections_of_roles(config, student, teacher)
        for role, model in (("student", student), ("teacher", teacher)):
            attention_vectors.check_projections(model, projections[role], role)
        widths = projections["student"].width, projections["teacher"].width
        heads = num_relation_heads(config.relation_heads, *widths)
        layers = f"{student.config.num_hidden_layers}–{layer_of_teacher(config, teacher)} (1: first layer)"
        split = f"{heads} relation heads of {widths[0] // heads} and {widths[1] // heads}"
        return [("queries, keys, values", f"{layers}, in {split}")]

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """Summed loss of one micro-batch."""
        if batch.phase == INTERMEDIATE:
            terms = {name: values.sum() for name, values in self.relation_losses(batch).items()}
            loss = torch.stack(list(terms.values())).sum()
            return StepOutput(loss, len(batch.ids), {name: value.detach() for name, value in terms.items()})
        logits = self.roles["student"](**batch.inputs["student"]).logits
        loss, terms = labels_and_logits_loss(self.context, self.config, batch, logits)
        return StepOutput(loss, len(batch.ids), terms)

    def relation_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Divergences of the relations of queries, keys and values, [batch] each."""
        read, roles, projections = attention_vectors.read_vectors, self.roles, self.projections
        student = read(roles["student"], batch.inputs["student"], projections["student"])
        with torch.no_grad():
            teacher = read(roles["teacher"], batch.inputs["teacher"], projections["teacher"])
        mask, heads = batch.inputs["student"]["attention_mask"], self.relation_heads
        return {
            name: relation_divergence(getattr(student, name), getattr(teacher, name), mask, heads)
            for name in ("queries", "keys", "values")
        }


def projections_of_roles(config: MiniLMConfig, student: Any, teacher: Any) -> dict[str, Any]:
    """The projections of the compared layers, by role.

    Raises:
        ModelError: a layer has no separate projections to queries, keys and values.
    """
    layers = {"student": student.config.num_hidden_layers, "teacher": layer_of_teacher(config, teacher)}
    models = {"student": student, "teacher": teacher}
    return {role: attention_vectors.find_projections(models[role], layer, role) for role, layer in layers.items()}


def layer_of_teacher(config: MiniLMConfig, teacher: Any) -> int:
    """Number of the teacher's layer, from 1."""
    depth: int = teacher.config.num_hidden_layers
    return config.teacher_layer or (depth if depth <= BASE_DEPTH else round(7 * depth / 8))


def num_relation_heads(requested: int | None, student: int, teacher: int) -> int:
    """A_r: the number asked for, or the largest up to the paper's that leaves heads wide enough.

    Args:
        requested: None for the default.
        student: width of its queries.
        teacher: likewise.

    Raises:
        ModelError: the number does not divide both widths.
    """
    common = math.gcd(student, teacher)
    fitting = [heads for heads in range(1, common + 1) if common % heads == 0]
    if requested is not None and requested not in fitting:
        raise ModelError(
            f"method.relation_heads={requested} does not divide the widths of student and teacher, {student} and "
            f"{teacher}; take one of {', '.join(map(str, fitting))}"
        )
    most = min(LARGE_HEADS if teacher >= LARGE_WIDTH else BASE_HEADS, student // NARROWEST_HEAD)
    return requested or max([1, *(heads for heads in fitting if heads <= most)])


def relation_divergence(student: Tensor, teacher: Tensor, mask: Tensor, heads: int) -> Tensor:
    """KL(teacher ‖ student) of the relations between tokens, averaged over tokens and relation heads.

    Tokens attend to those of their text only: padding is no part of it.

    Args:
        student: its queries, keys or values, [batch, length, width].
        teacher: the same ones of the teacher, of any width.
        mask: attention mask [batch, length], 1 for tokens.
        heads: A_r; divides both widths.

    Returns:
        Nats, [batch].
    """
    present = mask.bool()
    log_q, log_p = (_log_relations(vectors, present, heads) for vectors in (student, teacher))
    divergence = (log_p.exp() * (log_p - log_q)).sum(dim=-1).mean(dim=1)
    return divergence.masked_fill(~present, 0.0).sum(dim=-1) / present.sum(dim=-1).clamp(min=1)


def _log_relations(vectors: Tensor, present: Tensor, heads: int) -> Tensor:
    """Log relations, [batch, heads, length, length]; a lowest number for padding, whose relation is 0."""
    batch, length, width = vectors.shape
    split = vectors.float().view(batch, length, heads, width // heads).transpose(1, 2)
    with torch.autocast(vectors.device.type, enabled=False):  # a softmax needs sums in full precision
        scores = torch.matmul(split, split.transpose(2, 3)) / math.sqrt(width // heads)
    lowest = torch.finfo(scores.dtype).min / 2
    return scores.masked_fill(~present[:, None, None, :], lowest).log_softmax(dim=-1)
