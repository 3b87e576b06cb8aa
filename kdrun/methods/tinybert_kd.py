"""TinyBERT task distillation (Jiao et al. 2020).

The student first learns the teacher's hidden states and attention maps, layer by layer, and then its logits. The
paper's general distillation and data augmentation are left out. Meta-KD distills its students in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

from kdrun.config.domains import DomainSettings
from kdrun.config.fields import setting
from kdrun.config.requirements import Requirements
from kdrun.data.batch import Batch
from kdrun.methods.base import StepOutput
from kdrun.methods.phases import Turn
from kdrun.methods.shared.intermediate_layers import INTERMEDIATE, IntermediateLayerMethod, IntermediateSettings
from kdrun.registry import register


@dataclass
class TinyBertKDConfig(IntermediateSettings, DomainSettings):
    """Settings of TinyBERT's task distillation."""

    name: str = setting("tinybert_kd", "registered method")


@register("method", "tinybert_kd", config=TinyBertKDConfig)
class TinyBertKD(IntermediateLayerMethod):
    """Minimize over the student and a projection (W, b), then over the student alone:

        intermediate:  L = Σ MSE(H_S^i · W + b, H_T^(i·r)),  i = 0 … L_S
                         + Σ MSE(A_S^i, A_T^((i+1)·r − 1)),  i = 0 … L_S − 1
        logits:        L = D(T(x)/T, S(x)/T)

    r = L_T / L_S must be a whole number. H^0 are the embeddings, H^k the output of the k-th layer; A are attention
    scores before the softmax, layers counted from 0. One projection to the teacher's width serves all hidden states.
    Means are taken over the tokens of an example; if the numbers of heads differ, maps are averaged over heads first.
    A student is best initialized from the layers it is compared with: student.layers=[1,3,5] for 3 of 6 (for MiniLM
    the initial attention error is a quarter of that of the preset's [0,2,5]).
    D is the run's loss, without T² and without labels (`loss=soft_ce` is the code's, with the same gradient); for a
    score it is the squared difference from the teacher's.

    Differences:
        temperature: TinyBERT's code has 1; Meta-KD's second stage, the same otherwise, has 2.
        intermediate_fraction: TinyBERT spends 5 to 50 epochs by task on the first phase and 3 on the second, Meta-KD 10
            on each.
        - the paper has a second projection for the embeddings; its code has one for all, as here.
        - the means of the code include padding, so that the loss of an example depends on its batch.
        - the code keeps the teacher's dropout on, and the learning rate constant in the first phase.
        - the code fits a score to the gold score, not to the teacher's.
        - the code's second phase averages the soft cross-entropy over the classes too, so that its gradient is smaller
            by their number.
        - the code's classifier reads relu(pooled output) without dropout; here the head is that of the model family.
        - the code's BertAdam has no bias correction; the optimizers here have it.

    Cost:
        student: one forward and one backward pass per row, with attention maps in the first phase.
        teacher: one forward pass per row and step of the first phase, with attention maps; its logits are cached.
    """

    requires = Requirements(
        labels=False,
        teacher_logits=True,
        hidden_states=True,
        attentions=True,
        paired_layers=True,
        shared_vocabulary=True,
        unlabeled=True,
        inputs=("student", "teacher"),
        multi_label=True,
    )
    config: TinyBertKDConfig

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """Summed loss of one micro-batch."""
        if batch.phase != INTERMEDIATE:
            soft = self.logit_loss(batch).sum()
            return StepOutput(soft, len(batch.ids), {"soft": soft.detach()})
        losses = self.layer_losses(batch)
        hidden, attention = losses["hidden"].sum(), losses["attention"].sum()
        terms = {"hidden": hidden.detach(), "attention": attention.detach()}
        return StepOutput(hidden + attention, len(batch.ids), terms)
