"""DFKD-T3: data-free distillation with a text-to-text generator.

A pretrained T5 gets a target class and a passage of general text as its prompt. The teacher labels the text that it
generates, and the student learns from it. The paper's formulas, sizes and settings were not found, and no code was
released: apart from this idea the design is [ours], including the losses.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kdrun import rng
from kdrun.config.optim import OptimConfig, OptimizerConfig
from kdrun.config.requirements import Requirements
from kdrun.config.task import TaskConfig
from kdrun.data.batch import Batch
from kdrun.data.transfer import to_device
from kdrun.errors import ModelError
from kdrun.generation.collapse import CollapseGuard
from kdrun.generation.types import GeneratedText
from kdrun.lazy import lazy_module
from kdrun.methods.base import MethodContext, StepOutput
from kdrun.methods.phases import Phase, Turn
from kdrun.methods.shared.alternating import WARM_START, alternating_optimizers, alternating_phases
from kdrun.methods.shared.dfkd_t3_settings import DFKDT3Config, Gradient, Mode, Specificity, excluded_settings
from kdrun.methods.shared.pseudo_text import LabeledText, PseudoTextMethod
from kdrun.registry import register

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from kdrun.generation import conditional_generator, reinforce, t5_sampling
    from kdrun.generation import losses as generator_losses
    from kdrun.generation.generated_tokens import GeneratedTokens
else:
    torch = lazy_module("torch")
    conditional_generator = lazy_module("kdrun.generation.conditional_generator")
    generator_losses = lazy_module("kdrun.generation.losses")
    reinforce, t5_sampling = lazy_module("kdrun.generation.reinforce"), lazy_module("kdrun.generation.t5_sampling")


@register("method", "dfkd_t3", config=DFKDT3Config)
class DFKDT3(PseudoTextMethod):
    """Generator φ (a T5) and student θ, on corpus text x and text x′ that the generator derives from it for a class y:

        min over φ:  L_G = λ_spec · max(0, m − log-odds of T(x′)[y]) + λ_div · KL(mean T(x′) ‖ uniform)
                           + λ_tok · KL(mean p ‖ uniform) − λ_adv · KL(T(x′) ‖ S(x′)) + λ_lm · KL(G ‖ G₀)
        min over θ:  L_S = τ² · (soft_weight · D(T(x), S(x)) + pseudo_weight · D(T(x′), S(x′)))

    All of it is [ours]. y is drawn uniformly; the T5 reads `<task> <class>: <passage>`. `infill` replaces spans of the
    passage with the T5's answers to its sentinels, in one pass; `decode` writes a new text token by token. Means are
    over the batch, of the teacher's classes and of the generator's token distributions p. G₀ is the generator with its
    initial weights, D the run's loss. If all models share a vocabulary, the gradient of the first, second and fourth
    terms passes through straight-through Gumbel-softmax tokens. Otherwise plain text passes between the models, and the
    gradient is that of a score function: −(r − b) · ∇ log p(x′), with the reward r of a single text (to first order for
    the second term) and a moving baseline b. No labels are used: the rows are those of the `ood` section, and the
    student never sees the training rows of the task.

    For a task that is answered with text, y is the word that an answer begins with: an entity type, or `none`. In
    L_G, T and S are the models' distributions over these words at the first position of an answer. In L_S, D is a mean
    over the tokens of the teacher's answer: the cached one on x, and on x′ a greedy one in each step.

    After each student turn the generated text is assessed with the teacher alone. If it has one class, one text or no
    text, training of the generator stops, and the last generator with the best agreement is used from then on.

    Differences:
        - unknown: neither formulas nor settings of the paper were found, and there is no code.
        gumbel_temperature: the straight-through gradient is biased. On toy readers that are smooth in their embeddings
            its mean has a cosine of 0.88 to 0.99 with the exact gradient at τ_g = 1 and of 0.69 to 0.93, at a third
            of the length, at 4; on very sharp readers it can point the wrong way at any τ_g. 4 is the default because
            the generator follows its target class more often; `gradient=score` has no such bias.

    Cost:
        student: one forward and one backward pass over two texts per row.
        teacher: one forward pass per row and step on x′; its logits on x are cached.
            With `reuse` N the passes of teacher and generator in student steps are up to N times fewer.
        generator: one forward pass per row (`decode`: one decoder step per token); and generator_steps_per_cycle steps
            per student_steps_per_cycle steps of the student, each a forward and a backward pass through generator,
            teacher and student (score function: forward only through teacher and student), and a forward pass of G₀.
        For a task that is answered with text, a student step also takes the teacher's logits on x, and one teacher
            decoder step on x′ per token of the longest answer of the batch, at most `task.answer_tokens`.
    """

    requires = Requirements(
        labels=False,
        data_free=True,
        generator=True,
        teacher_logits=True,
        text_between=True,
        embeddings=("student", "teacher"),
        regression=False,
        extraction=True,
        inputs=("student", "teacher", "generator"),
    )
    loss_weights = PseudoTextMethod.loss_weights | {
        "generator": ("specificity_weight", "class_balance_weight", "token_diversity_weight", "adversarial_weight")
    }
    may_start_at_zero = frozenset({"language"})
    config: DFKDT3Config

    def __init__(self, config: DFKDT3Config, context: MethodContext) -> None:
        super().__init__(config, context)
        special = None if context.vocabulary is None else context.vocabulary.special_ids
        if config.gradient is Gradient.soft and special is None:
            raise ModelError(
                "method.gradient=soft passes soft tokens between the models, and their vocabularies differ; set "
                "method.gradient=score, or take models with one vocabulary (student.tokenizer=teacher)"
            )
        self.soft = special is not None and config.gradient is not Gradient.score
        if unused := excluded_settings(replace(config, gradient=Gradient.soft if self.soft else Gradient.score)):
            raise ModelError("; ".join(unused))  # gradient=auto is resolved only here
        infill = conditional_generator.Spans(config.mask_rate, config.mean_span)
        style = infill if config.mode is Mode.infill else t5_sampling.LengthLimits(config.min_tokens, config.max_tokens)
        generator = self.roles["generator"]
        self.text_generator = conditional_generator.ConditionalGenerator(
            generator, context.tokenizers, context.task, style, context.seed, special
        )
        if config.reference_kl_weight:
            # as a role, so that the trainer freezes it like any role out of turn
            self.roles = {**self.roles, "reference": copy.deepcopy(generator).requires_grad_(False).eval()}
        self._baseline = reinforce.MovingBaseline(config.baseline_momentum)
        self._guard = CollapseGuard(generator, config.collapse, context.task.classes)

    @classmethod
    def config_problems(cls, config: DFKDT3Config, task: TaskConfig) -> list[str]:
        """Pairs with `decode`, length limits that exclude each other, and settings that others exclude."""
        problems = [*super().config_problems(config, task), *excluded_settings(config)]
        if config.mode is Mode.decode and len(task.text) > 1:
            problems.append(f"method.mode=decode writes single texts, and task={task.name} has pairs; use infill")
        if config.mode is Mode.decode and config.min_tokens > config.max_tokens:
            problems.append(f"method.min_tokens={config.min_tokens} is more than method.max_tokens={config.max_tokens}")
        return problems

    @classmethod
    def phases(cls, config: DFKDT3Config, optim: OptimConfig) -> list[Phase]:
        """Alternating turns of generator and student, after a warm start of the generator if there is one."""
        return alternating_phases(config, optim, config.warm_start_steps)

    def optimizers(self, optim: OptimConfig, phase: Phase) -> dict[str, OptimizerConfig]:
        """Optimizers of student and generator."""
        return alternating_optimizers(self.config, optim)

    def on_step_end(self, turn: Turn) -> None:
        """Move the baseline by the rewards of a generator step."""
        if turn.role == "generator" and not self.soft:
            self._baseline.update()

    def state(self) -> dict[str, Any]:
        """Moving baseline, collapse statistics and the best generator."""
        return {"baseline": self._baseline.value, **self._guard.state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self._baseline.value = state["baseline"]
        self._guard.load_state(state)

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """Summed loss of one micro-batch."""
        if turn.role == "student":
            return self.student_step(batch, turn, 0.0, self.config.soft_weight, self.config.pseudo_weight)
        return self._generator_step(batch)

    def generate_text(self, batch: Batch) -> GeneratedText:
        """x′ from the current generator."""
        target_classes = self.target_classes(batch)
        with torch.no_grad():
            generated = self.text_generator.draw(batch, target_classes)
            encoded = self.text_generator.encode_for_readers(batch, generated)
        inputs = {role: reader.inputs for role, reader in encoded.items()}
        return GeneratedText(generated.ids, generated.present, generated.generated_mask, inputs, target_classes)

    def prepare_export(self) -> None:
        """Replace the current generator by the best one of the run."""
        self._guard.check()
        self._guard.restore_best()

    def target_classes(self, batch: Batch) -> Tensor:
        """Target class of each text, drawn uniformly, [batch]."""
        stream = rng.stream(self.context.seed, "wanted", batch.phase, batch.step)
        classes = torch.randint(len(self.context.task.classes), (len(batch.ids),), generator=stream)
        return to_device(classes, self.context.device)

    def stop_reason(self, role: str) -> str:
        """Description of the collapse of the generator, whose best weights are then restored."""
        return self._guard.check() if role == "generator" else ""

    def student_metrics(self, text: LabeledText) -> dict[str, Tensor]:
        """Teacher's classes on x′, agreement with the target classes, and diversity of tokens.

        `distinct_tokens` and `empty` are shares of a batch.
        """
        generated, logits = text.generated, text.teacher_logits
        assert generated.target_class is not None
        predicted = self.class_view.class_logits(logits).argmax(dim=-1)
        tokens = generated.ids[generated.generated_mask]
        shares = {f"called_{label}": (predicted == i).sum() for i, label in enumerate(self.context.task.classes)}
        return {
            **super().student_metrics(text),
            "agreement": (predicted == generated.target_class).sum(),
            **shares,
            "distinct_tokens": logits.new_tensor(text.num_rows * len(tokens.unique()) / max(1, len(tokens))),
            "empty": (generated.generated_mask.sum(dim=1) == 0).sum(),
        }

    def on_new_text(self, text: LabeledText) -> None:
        """Update the collapse statistics."""
        generated = text.generated
        assert generated.target_class is not None
        predicted, source = (
            self.class_view.class_logits(logits).argmax(dim=-1) for logits in (text.teacher_logits, text.source_logits)
        )
        self._guard.monitor.update(generated.target_class, predicted, source, generated.ids, generated.generated_mask)

    def _generator_step(self, batch: Batch) -> StepOutput:
        """L_G, summed over the rows; terms of the whole batch count once per row."""
        c, count, target_classes = self.config, len(batch.ids), self.target_classes(batch)
        progress = 0.0 if batch.phase == WARM_START else batch.progress
        tau = c.gumbel_temperature * (c.gumbel_temperature_end / c.gumbel_temperature) ** progress
        generated = self.text_generator.generate(batch, target_classes, tau if self.soft else None)
        teacher, student = self._class_logits(batch, generated)
        if c.specificity is Specificity.log_odds:
            specificity = generator_losses.log_odds_hinge(teacher, target_classes, c.log_odds_margin)
        else:
            specificity = generator_losses.target_cross_entropy(teacher, target_classes)
        divergence = generator_losses.adversarial_divergence(student, teacher, self.temperature(batch))
        imbalance = generator_losses.class_balance(teacher)
        balance = imbalance if self.soft else generator_losses.class_balance_reward(teacher)
        cost = c.specificity_weight * specificity + c.class_balance_weight * balance - c.adversarial_weight * divergence
        metrics = {"gumbel_temperature": cost.new_tensor(count * tau)} if self.soft else {"reward": -cost.sum()}
        loss = cost.sum()
        if not self.soft:
            loss = reinforce.reinforce_loss(generated.log_prob, -cost, self._baseline.use(-cost)).sum()
        reference_kl = self._reference_kl(generated).sum() if c.reference_kl_weight else loss.new_zeros(())
        repetition = generator_losses.token_diversity(generated.logits)
        loss = loss + c.token_diversity_weight * count * repetition + c.reference_kl_weight * reference_kl
        terms = {
            "specificity": (c.specificity_weight, specificity.sum()),
            "imbalance": (c.class_balance_weight, count * imbalance),
            "divergence": (c.adversarial_weight, divergence.sum()),
            "repetition": (c.token_diversity_weight, count * repetition),
            "language": (c.reference_kl_weight, reference_kl),
        }
        logged = {name: value.detach() for name, (weight, value) in terms.items() if weight}
        return StepOutput(loss, count, logged, metrics)

    def _class_logits(self, batch: Batch, generated: GeneratedTokens) -> tuple[Tensor, Tensor]:
        """Class logits of teacher and student on x′, [batch, classes] each."""
        encoded = self.text_generator.encode_for_readers(batch, generated)
        classifiers = {role: self.class_view.as_classifier(self.roles[role]) for role in encoded}
        logits = conditional_generator.reader_logits(classifiers, encoded, generated, soft=self.soft)
        return logits["teacher"], logits["student"]

    def _reference_kl(self, generated: GeneratedTokens) -> Tensor:
        """KL of the generator from its initial weights, [batch]."""
        with torch.no_grad():
            reference = generated.rescore_with(self.roles["reference"])
        return generator_losses.reference_kl(generated.logits, reference, generated.rows, len(generated.ids))
