"""DFKD-T3: data-free distillation with a text-to-text generator.

A pretrained T5 is prompted with the class that it is to write and a passage of general text; what it writes is
labelled by the teacher and teaches the student. The paper's formulas, sizes and settings were not found: beside that
idea all of this is a design of this project's own, the losses included. No code was released.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from kdrun import rng
from kdrun.config.fields import setting
from kdrun.config.optim import OptimConfig
from kdrun.config.requirements import Requirements
from kdrun.config.task import TaskConfig
from kdrun.data.batch import Batch
from kdrun.errors import ModelError
from kdrun.generation.collapse import CollapseGuard, CollapseLimits
from kdrun.generation.types import GeneratedText
from kdrun.lazy import lazy_module
from kdrun.methods.base import MethodContext, StepOutput
from kdrun.methods.phases import Phase, Turn
from kdrun.methods.shared.alternating import WARM_START, AlternatingSettings, alternating_optimizers, alternating_phases
from kdrun.methods.shared.pseudo_text import PseudoTextMethod
from kdrun.registry import register

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from kdrun.generation import conditional_generator, reinforce, t5_sampling
    from kdrun.generation import losses as generator_losses
else:
    torch = lazy_module("torch")
    conditional_generator = lazy_module("kdrun.generation.conditional_generator")
    generator_losses = lazy_module("kdrun.generation.losses")
    reinforce, t5_sampling = lazy_module("kdrun.generation.reinforce"), lazy_module("kdrun.generation.t5_sampling")


class Mode(Enum):
    """How the generator writes: into spans of the source text, or new texts token by token."""

    infill = "infill"
    decode = "decode"


class Specificity(Enum):
    """What is lost where the teacher does not see the wanted class: missing log-odds of it, or its surprise."""

    log_odds = "log_odds"
    cross_entropy = "cross_entropy"


class Gradient(Enum):
    """What carries the teacher's answer back to the generator; `auto`: soft tokens where all share a vocabulary."""

    auto = "auto"
    soft = "soft"
    score = "score"


@dataclass
class DFKDT3Config(AlternatingSettings):
    """Settings of DFKD-T3."""

    name: str = setting("dfkd_t3", "registered method")
    temperature: float = setting(1.0, "τ: softens teacher and student alike", gt=0)
    soft_weight: float = setting(0.5, "weight of the divergence on the out-of-domain text", ge=0)
    pseudo_weight: float = setting(0.5, "weight of the divergence on the generated text", ge=0)
    specificity_weight: float = setting(1.0, "λ_spec: the teacher recognises the wanted class", ge=0)
    specificity: Specificity = setting(Specificity.log_odds, "how that is measured: missing log-odds, or surprise")
    log_odds_margin: float = setting(
        6.0, "m: log-odds of the wanted class, in nats, beyond which nothing is gained", gt=0
    )
    class_balance_weight: float = setting(1.0, "λ_div: classes have equal shares in a batch", ge=0)
    token_diversity_weight: float = setting(0.1, "λ_tok: a batch is made of many words", ge=0)
    adversarial_weight: float = setting(1.0, "λ_adv: the student still disagrees with the teacher", ge=0)
    reference_kl_weight: float = setting(0.1, "λ_lm: the generator stays near the language it came with", ge=0)
    mode: Mode = setting(Mode.infill, "into spans of the source text, or new texts token by token")
    gradient: Gradient = setting(Gradient.auto, "soft tokens, or score function with text in between")
    mask_rate: float = setting(0.5, "infill: share of the source's tokens that spans cover", gt=0, le=1)
    mean_span: float = setting(3.0, "infill: tokens of a span, on average", ge=1)
    min_tokens: int = setting(4, "decode: tokens before which a text cannot end", ge=1)
    max_tokens: int = setting(24, "decode: tokens after which a text is cut", ge=1)
    gumbel_temperature: float = setting(4.0, "τ_g of the Gumbel-softmax in the generator's first turn", gt=0)
    gumbel_temperature_end: float = setting(4.0, "τ_g at its last step; in between it changes geometrically", gt=0)
    baseline_momentum: float = setting(0.9, "score function: what a step keeps of the moving baseline", ge=0, lt=1)
    warm_start_steps: int = setting(150, "steps the generator takes before the first cycle", ge=0)
    generator_optim: OptimConfig = setting(
        OptimConfig(lr=1e-3, warmup_ratio=0.0), "optimizer of the generator; its budget follows"
    )
    collapse: CollapseLimits = setting(CollapseLimits(), "what ends the generator's part")


@register("method", "dfkd_t3", config=DFKDT3Config)
class DFKDT3(PseudoTextMethod):
    """Generator φ (a T5) and student θ, on text x of a corpus and text x′ that the generator makes of it for a class y:

        min over φ:  L_G = λ_spec · max(0, m − log-odds of T(x′)[y]) + λ_div · KL(mean T(x′) ‖ uniform)
                           + λ_tok · KL(mean p ‖ uniform) − λ_adv · KL(T(x′) ‖ S(x′)) + λ_lm · KL(G ‖ G₀)
        min over θ:  L_S = τ² · (soft_weight · D(T(x), S(x)) + pseudo_weight · D(T(x′), S(x′)))

    All of it is [ours]. y is drawn evenly; the T5 reads `<task> <class>: <passage>`. `infill` replaces spans of the
    passage by what T5 says of its sentinels, in one pass; `decode` writes a new text token by token. Means are over
    the batch, of the teacher's classes and of the generator's token distributions p; G₀ is the generator as it came;
    D is the run's loss. Where all models share a vocabulary the gradient of the first and fourth terms (and the
    second) passes through straight-through Gumbel-softmax tokens. Where not, text passes between them, and the
    gradient is a score function's: −(r − b) · ∇ log p(x′), with the reward r of a single text, to first order for the
    second term, and a moving baseline b. There is no label anywhere: the rows are the `ood` section's, and the
    task's training rows are out of the student's reach.

    Of a task that is answered with a text, y is the word that an answer begins with: a type of entity, or `none`. In
    L_G T and S are the models' distributions over these words at the first place of an answer. In L_S, D is a mean over
    the tokens of the teacher's whole answer: the kept one on x; on x′ the one that it writes, greedily, in each step.

    After each student turn its text is judged by the teacher alone. Text of one class, one text or none ends the
    generator's part, and the last generator with the best agreement with the wanted classes goes on writing.

    Differences:
        - none can be named: neither formulas nor settings of the paper were found, and there is no code.

    Cost:
        student: one forward and one backward pass over two texts a row.
        teacher: one forward pass a row and step on x′; its logits on x are kept in the cache.
        generator: one forward pass a row (`decode`: one decoder step a token); and generator_steps_per_cycle steps to
            student_steps_per_cycle of the student's, each a forward and a backward pass through generator, teacher and
            student (score function: forward alone through teacher and student), and a forward pass of G₀.
        Of a task that is answered with a text, a student step also takes the teacher's logits on x, and a decoder step
            of it on x′ for each token of the longest answer of the batch, `task.answer_tokens` at most.
    """

    requires = Requirements(
        labels=False,
        data_free=True,
        generator=True,
        teacher_logits=True,
        text_between=True,
        regression=False,
        extraction=True,
        inputs=("student", "teacher", "generator"),
    )
    may_start_at_zero = frozenset({"language"})
    config: DFKDT3Config

    def __init__(self, config: DFKDT3Config, parts: MethodContext) -> None:
        super().__init__(config, parts)
        special = None if parts.vocabulary is None else parts.vocabulary.special_ids
        if config.gradient is Gradient.soft and special is None:
            raise ModelError(
                "method.gradient=soft passes soft tokens between the models, and these have different vocabularies; "
                "take method.gradient=score, or models of one vocabulary (student.tokenizer=teacher)"
            )
        self.soft = special is not None and config.gradient is not Gradient.score
        infill = conditional_generator.Spans(config.mask_rate, config.mean_span)
        style = infill if config.mode is Mode.infill else t5_sampling.LengthLimits(config.min_tokens, config.max_tokens)
        generator = self.roles["generator"]
        self.writer = conditional_generator.ConditionalGenerator(
            generator, parts.tokenizers, parts.task, style, parts.seed, special
        )
        if config.reference_kl_weight:
            # a role of its own, so that the loop freezes it like any role out of its turn
            self.roles = {**self.roles, "reference": copy.deepcopy(generator).requires_grad_(False).eval()}
        self._baseline = reinforce.MovingBaseline(config.baseline_momentum)
        self._guard = CollapseGuard(generator, config.collapse, parts.task.classes)

    @classmethod
    def config_problems(cls, config: DFKDT3Config, task: TaskConfig) -> list[str]:
        """Pairs cannot be decoded, and lengths must fit together."""
        found = []
        if config.mode is Mode.decode and len(task.text) > 1:
            found.append(f"method.mode=decode writes single texts, and task={task.name} has pairs; use infill")
        if config.mode is Mode.decode and config.min_tokens > config.max_tokens:
            found.append(f"method.min_tokens={config.min_tokens} is more than method.max_tokens={config.max_tokens}")
        return found

    @classmethod
    def phases(cls, config: DFKDT3Config, optim: OptimConfig) -> list[Phase]:
        """The generator's turn, then the student's, over and over; before them the warm start, if asked for."""
        return alternating_phases(config, optim, config.warm_start_steps)

    def optimizers(self, optim: OptimConfig, phase: Phase) -> dict[str, OptimConfig]:
        """The run's for the student, `generator_optim` for the generator."""
        return alternating_optimizers(self.config, optim)

    def state(self) -> dict[str, Any]:
        """The moving baseline, what the collapse is judged by, and the best generator."""
        return {"baseline": self._baseline.value, **self._guard.state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        self._baseline.value = state["baseline"]
        self._guard.load_state(state)

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """The summed loss of one micro-batch."""
        if turn.role == "student":
            return self.student_step(batch, 0.0, self.config.soft_weight, self.config.pseudo_weight)
        return self._generator_step(batch)

    def generate_text(self, batch: Batch) -> GeneratedText:
        """x′ as the generator writes it now."""
        with torch.no_grad():
            wanted = self.wanted(batch)
            made = self.writer.generate(batch.inputs, wanted, (batch.phase, batch.step))
            readings = self.writer.encode_for_readers(batch.inputs, made)
        inputs = {role: reading.inputs for role, reading in readings.items()}
        return GeneratedText(made.ids, made.present, made.generated_mask, inputs, wanted)

    def generate_for_export(self, batch: Batch) -> GeneratedText:
        """x′ as the best generator of the run writes it: for text that is to be kept. The rest of its text is lost."""
        self._guard.check()
        self._guard.restore_best()
        return self.generate_text(batch)

    def wanted(self, batch: Batch) -> Tensor:
        """The class each text is to be of, evenly drawn, [batch]."""
        stream = rng.stream(self.context.seed, "wanted", batch.phase, batch.step)
        return torch.randint(len(self.context.task.classes), (len(batch.ids),), generator=stream).to(
            self.context.device
        )

    def stop_reason(self, role: str) -> str:
        """The generator rests once its text has collapsed, with the weights of the last good one."""
        return self._guard.check() if role == "generator" else ""

    def student_metrics(self, batch: Batch, made: GeneratedText, taught: Tensor) -> dict[str, Tensor]:
        """The teacher's classes on x′ by share, how many are the wanted ones, and how many different words there are.

        `distinct_tokens` and `empty` are shares of a batch. What the collapse is judged by is gathered here too.
        """
        assert batch.teacher_logits is not None
        assert made.target_class is not None
        found = self.answering.class_logits(taught).argmax(dim=-1)
        source = self.answering.class_logits(batch.teacher_logits).argmax(dim=-1)
        self._guard.monitor.update(made.target_class, found, source, made.ids, made.generated_mask)
        words = made.ids[made.generated_mask]
        shares = {f"called_{label}": (found == i).sum() for i, label in enumerate(self.context.task.classes)}
        return {
            **super().student_metrics(batch, made, taught),
            "agreement": (found == made.target_class).sum(),
            **shares,
            "distinct_tokens": taught.new_tensor(len(batch.ids) * len(words.unique()) / max(1, len(words))),
            "empty": (made.generated_mask.sum(dim=1) == 0).sum(),
        }

    def _generator_step(self, batch: Batch) -> StepOutput:
        """L_G, summed over the rows; what is a property of the batch counts once a row."""
        c, count, wanted = self.config, len(batch.ids), self.wanted(batch)
        cooled = 0.0 if batch.phase == WARM_START else batch.progress
        tau = c.gumbel_temperature * (c.gumbel_temperature_end / c.gumbel_temperature) ** cooled
        made = self.writer.generate(batch.inputs, wanted, (batch.phase, batch.step), tau if self.soft else None)
        read = self.writer.encode_for_readers(batch.inputs, made)
        views = {role: self.answering.as_classifier(self.roles[role]) for role in read}
        said = conditional_generator.reader_logits(views, read, made, soft=self.soft)
        teacher, student = said["teacher"], said["student"]
        if c.specificity is Specificity.log_odds:
            specific = generator_losses.log_odds_hinge(teacher, wanted, c.log_odds_margin)
        else:
            specific = generator_losses.target_cross_entropy(teacher, wanted)
        apart = generator_losses.adversarial_divergence(student, teacher, c.temperature)
        imbalance, repetition = generator_losses.class_balance(teacher), generator_losses.token_diversity(made.logits)
        one_sided = imbalance if self.soft else generator_losses.class_balance_reward(teacher)
        cost = c.specificity_weight * specific + c.class_balance_weight * one_sided - c.adversarial_weight * apart
        watched = {"gumbel_temperature": cost.new_tensor(count * tau)} if self.soft else {"reward": -cost.sum()}
        loss = cost.sum()
        if not self.soft:
            loss = reinforce.reinforce_loss(made.log_prob, -cost, self._baseline.use(-cost)).sum()
        away = self._reference_kl(made).sum() if c.reference_kl_weight else loss.new_zeros(())
        loss = loss + c.token_diversity_weight * count * repetition + c.reference_kl_weight * away
        terms = {
            "specificity": (c.specificity_weight, specific.sum()),
            "imbalance": (c.class_balance_weight, count * imbalance),
            "divergence": (c.adversarial_weight, apart.sum()),
            "repetition": (c.token_diversity_weight, count * repetition),
            "language": (c.reference_kl_weight, away),
        }
        shown = {name: value.detach() for name, (weight, value) in terms.items() if weight}
        return StepOutput(loss, count, shown, watched)

    def _reference_kl(self, made: t5_sampling.GeneratedTokens) -> Tensor:
        """How far the generator has gone from the one it was, [batch]."""
        with torch.no_grad():
            before = made.rescore_with(self.roles["reference"])
        return generator_losses.reference_kl(made.logits, before, made.rows, len(made.ids))
