"""MiniLMv2 relation distillation, then logits (Wang et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdrun.config.fields import setting
from kdrun.config.optim import OptimConfig
from kdrun.config.requirements import Requirements
from kdrun.data.batch import Batch
from kdrun.lazy import lazy_module
from kdrun.methods.base import Method, MethodContext, StepOutput
from kdrun.methods.phases import Phase, Turn
from kdrun.methods.shared.intermediate_layers import INTERMEDIATE, student_phases
from kdrun.methods.shared.labels_and_logits import LabelsAndLogitsSettings, labels_and_logits_loss
from kdrun.registry import register

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from kdrun.models import relations
else:
    torch = lazy_module("torch")
    relations = lazy_module("kdrun.models.relations")


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
            student.pretrain.objective=relations is the paper's first stage, before this or any other method.
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
        self.pair = pair_of_models(config, context.roles["student"], context.roles["teacher"])

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
        pair = pair_of_models(config, student, teacher)
        pair.check(student, teacher)
        return [("queries, keys, values", pair.description)]

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
        models = self.roles["student"], self.roles["teacher"]
        return self.pair.divergences(models, (batch.inputs["student"], batch.inputs["teacher"]))


def pair_of_models(config: MiniLMConfig, student: Any, teacher: Any) -> relations.RelationPair:
    """The layers that are compared.

    Raises:
        ModelError: a layer has no separate projections to queries, keys and values, or the heads do not fit it.
    """
    return relations.pair_layers(student, teacher, config.teacher_layer, config.relation_heads, "method")
