"""MATE-KD and plain augmentation on tiny models, against their equations."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

from kdrun import losses, rng
from kdrun.config.optim import OptimConfig
from kdrun.config.task import TaskConfig
from kdrun.data.batch import Batch, StepPosition
from kdrun.generation import gumbel, masking
from kdrun.generation.types import SharedVocabulary
from kdrun.methods.base import MethodContext
from kdrun.methods.kd_augment import KDAugment, KDAugmentConfig
from kdrun.methods.kd_ood import KDOOD, KDOODConfig
from kdrun.methods.mate_kd import MateKD, MateKDConfig
from kdrun.methods.phases import ScheduleSpan, Turn
from kdrun.methods.shared.pseudo_text import Divergence
from kdrun.methods.zskd import WARM_START, ZSKD, ZSKDConfig

CLASSES = TaskConfig(name="rte", labels=["a", "b"], metrics=["accuracy"], headline="accuracy")
SCORE = TaskConfig(name="stsb", range=[0, 5], metrics=["pearson"], headline="pearson")
CONFIGS: dict[Any, Any] = {MateKD: MateKDConfig, KDAugment: KDAugmentConfig, ZSKD: ZSKDConfig, KDOOD: KDOODConfig}
VOCAB, SPECIAL = 30, torch.tensor([0, 1, 2, 3])
STUDENT, GENERATOR = Turn("student"), Turn("generator")


def build_method(task: TaskConfig = CLASSES, kind: Any = MateKD, **settings: Any) -> Any:
    """The method on models whose answers differ clearly, frozen and without dropout as out of their turn."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=VOCAB, pad_token_id=0, num_labels=task.num_outputs, **sizes)  # pyright: ignore
    roles: dict[str, nn.Module] = {
        "generator": BertForMaskedLM(config),
        "teacher": BertForSequenceClassification(config),
        "student": BertForSequenceClassification(config),
    }
    for model in roles.values():
        for p in model.parameters():
            p.data.mul_(5)
        model.requires_grad_(False).eval()
    loss = losses.logit_mse if task.is_regression else losses.kl_divergence
    parts = MethodContext(
        roles, task, loss, losses.hard_loss(task.is_regression), 1, torch.device("cpu"), SharedVocabulary(3, SPECIAL)
    )
    return kind(CONFIGS[kind](**settings), parts)


def batch(method: Any, rows: int = 4, step: int = 0) -> Batch:
    torch.manual_seed(5)
    ids = torch.randint(4, VOCAB, (rows, 8))
    ids[:, 0], ids[:, -1] = 1, 2
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    regression = method.context.task.is_regression
    labels = torch.rand(rows) * 5 if regression else torch.randint(0, 2, (rows,))
    with torch.no_grad():
        taught = method.roles["teacher"](**inputs).logits
    return Batch(torch.arange(rows), dict.fromkeys(method.roles, inputs), labels, taught, "train", step)


def generated_ids(method: Any, examples: Batch) -> tuple[Tensor, Tensor]:
    text = method.generate_text(examples)
    assert all(torch.equal(text.inputs[role]["input_ids"], text.ids) for role in ("teacher", "student"))
    return text.ids, text.generated_mask


def adversarial_ids(method: Any, examples: Batch) -> Tensor:
    """The text of a generator's turn: Gumbel samples at the masked tokens."""
    mask, logits = method.mask_and_score(examples)
    noise = gumbel.gumbel_noise(
        len(logits), VOCAB, rng.numpy_stream(1, "gumbel", "train", examples.step), torch.device("cpu")
    )
    return masking.fill_masked_ids(examples.inputs["student"]["input_ids"], mask, gumbel.gumbel_argmax(logits, noise))


@pytest.mark.parametrize("task", [CLASSES, SCORE])
@pytest.mark.parametrize("kind", [MateKD, KDAugment])
def test_the_students_loss_is_the_three_terms(task: TaskConfig, kind: Any) -> None:
    method = build_method(task, kind, temperature=2.0, hard_weight=0.2, soft_weight=0.3, pseudo_weight=0.5)
    examples = batch(method)
    changed, mask = generated_ids(method, examples)
    out = method.step(examples, STUDENT)

    def logits(role: str, ids: Tensor) -> Tensor:
        return method.roles[role](input_ids=ids, attention_mask=torch.ones_like(ids)).logits

    x = examples.inputs["student"]["input_ids"]
    hard = method.context.hard_loss(logits("student", x), examples.labels).sum()
    soft = 4 * method.context.loss(logits("student", x), logits("teacher", x), 2.0).sum()
    pseudo = 4 * method.context.loss(logits("student", changed), logits("teacher", changed), 2.0).sum()
    torch.testing.assert_close(out.loss, 0.2 * hard + 0.3 * soft + 0.5 * pseudo, rtol=1e-5, atol=1e-5)
    assert out.count == 4
    assert set(out.loss_terms) == {"hard", "soft", "pseudo"}
    assert mask.any()
    assert not torch.equal(changed, x)
    if not task.is_regression:
        flipped = (logits("teacher", changed).argmax(-1) != logits("teacher", x).argmax(-1)).sum()
        assert out.metrics["flipped"] == flipped


@pytest.mark.parametrize("turn", [STUDENT, GENERATOR], ids=["student", "generator"])
def test_both_roles_have_the_temperature_of_their_step(turn: Turn) -> None:
    moving, fixed = build_method(temperature=4.0, temperature_end=1.0), build_method(temperature=2.5)
    values = [method.step(replace(batch(method), progress=0.5), turn).loss for method in (moving, fixed)]
    torch.testing.assert_close(values[0], values[1], rtol=0, atol=0)
    assert moving.step(batch(moving), turn).loss != values[0]


@pytest.mark.parametrize("quantile", [0.0, 0.5, 1.0])
def test_text_below_the_confidence_adds_nothing(quantile: float) -> None:
    """All rows, half of them, and none; the sum is divided by the number of all rows, in one batch or in several."""
    plain = build_method(hard_weight=0.0, soft_weight=0.0, pseudo_weight=1.0)
    examples = batch(plain, rows=6)
    changed, _ = generated_ids(plain, examples)
    text = {"input_ids": changed, "attention_mask": torch.ones_like(changed)}
    answers = [plain.roles[role](**text).logits for role in ("student", "teacher")]
    confidence = answers[1].softmax(dim=-1).amax(dim=-1)
    limit = float(confidence.quantile(quantile)) + 1e-4 * (quantile - 0.5)
    kept = confidence >= limit
    method = build_method(hard_weight=0.0, soft_weight=0.0, pseudo_weight=1.0, min_confidence=limit)
    out = method.step(examples, STUDENT)
    assert kept.sum() == {0.0: 6, 0.5: 3, 1.0: 0}[quantile]
    torch.testing.assert_close(out.loss, (losses.kl_divergence(*answers) * kept).sum(), rtol=1e-5, atol=1e-6)
    assert (out.count, int(out.metrics["confident"])) == (6, int(kept.sum()))
    assert out.metrics["flipped"] == plain.step(examples, STUDENT).metrics["flipped"]  # of all text


@pytest.mark.parametrize("kind", [MateKD, ZSKD])
def test_the_student_learns_the_candidate_it_disagrees_on_most(kind: Any) -> None:
    weights: dict[str, Any] = {"soft_weight": 0.0, "pseudo_weight": 1.0} | (
        {"hard_weight": 0.0} if kind is MateKD else {}
    )
    method = build_method(kind=kind, candidates=3, **weights)
    examples = batch(method, rows=6)
    divergences = []
    for text in method.label_texts(examples):
        logits = method.roles["student"](**text.inputs).logits
        torch.testing.assert_close(text.teacher_logits, method.roles["teacher"](**text.inputs).logits)
        divergences.append(losses.kl_divergence(logits, text.teacher_logits))
    table = torch.stack(divergences)
    out = method.step(examples, STUDENT)
    torch.testing.assert_close(out.loss, table.amax(dim=0).sum(), rtol=1e-5, atol=1e-6)
    assert len(set(table.argmax(dim=0).tolist())) > 1  # no candidate is the hardest for all rows


def test_a_confident_candidate_is_preferred() -> None:
    weights: dict[str, Any] = {"candidates": 3, "hard_weight": 0.0, "soft_weight": 0.0, "pseudo_weight": 1.0}
    plain = build_method(**weights)
    examples = batch(plain, rows=6)
    texts = plain.label_texts(examples)
    confidence = torch.stack([text.teacher_logits.softmax(dim=-1).amax(dim=-1) for text in texts])
    confident = confidence >= confidence.median()
    method = build_method(**weights, min_confidence=float(confidence.median()))
    logits = [method.roles["student"](**text.inputs).logits for text in texts]
    values = [losses.kl_divergence(a, text.teacher_logits) for a, text in zip(logits, texts, strict=True)]
    best = torch.where(confident, torch.stack(values), 0.0).amax(dim=0)
    out = method.step(examples, STUDENT)
    torch.testing.assert_close(out.loss, best.sum(), rtol=1e-5, atol=1e-6)
    assert out.metrics["confident"] == confident.any(dim=0).sum()
    assert not torch.equal(best, torch.stack(values).amax(dim=0))  # the hardest of all is not always confident


def test_the_generator_may_stay_near_the_language() -> None:
    """The anchor of ZSKD, also for MATE-KD."""
    terms = []
    for kind in (MateKD, ZSKD):
        method = build_method(kind=kind, mlm_weight=0.7, divergence=Divergence.kl)
        out = method.step(batch(method), GENERATOR)
        terms.append((out.loss, out.loss_terms["mlm"], out.loss_terms["divergence"]))
    assert terms[0] == terms[1]


def test_a_task_with_scores_has_no_confidence() -> None:
    (problem,) = MateKD.config_problems(MateKDConfig(min_confidence=0.7), SCORE)
    assert "method.min_confidence=0.7" in problem
    assert "stsb" in problem
    assert not MateKD.config_problems(MateKDConfig(min_confidence=0.7), CLASSES)


@pytest.mark.parametrize("rows", [2, 6])
def test_reused_text_of_another_number_of_rows_counts_as_a_mean(rows: int) -> None:
    method = build_method(kind=KDAugment, reuse=2, hard_weight=0.0, soft_weight=0.0, pseudo_weight=1.0)
    source, current = batch(method, rows=4, step=0), batch(method, rows=rows, step=1)
    source.position = StepPosition(0, 0, 2, lambda step, index: source)
    current.position = StepPosition(1, 0, 2, lambda step, index: source)
    first, second = (method.step(examples, STUDENT) for examples in (source, current))
    torch.testing.assert_close(second.loss / rows, first.loss / 4)
    assert second.metrics["flipped"] / rows == first.metrics["flipped"] / 4


def test_the_generator_climbs_what_the_student_descends() -> None:
    """Minus the divergence on the sampled text; its gradient reaches the generator and nothing else."""
    method = build_method(divergence=Divergence.kl)
    examples = batch(method)
    method.roles["generator"].requires_grad_(True)
    out = method.step(examples, GENERATOR)
    out.loss.backward()
    changed = adversarial_ids(method, examples)
    answers = [method.roles[r](input_ids=changed, attention_mask=torch.ones_like(changed)).logits for r in
               ("student", "teacher")]  # fmt: skip
    torch.testing.assert_close(out.loss, -losses.kl_divergence(*answers).sum().detach(), rtol=1e-4, atol=1e-5)
    assert out.loss_terms["divergence"] == -out.loss.detach()
    assert max(float(p.grad.abs().max()) for p in method.roles["generator"].parameters() if p.grad is not None) > 0
    assert all(p.grad is None for role in ("teacher", "student") for p in method.roles[role].parameters())


def test_cross_entropy_and_kl_pull_the_generator_differently() -> None:
    """They differ by the teacher's entropy on x′, which the generator can change."""
    gradients = []
    for divergence in Divergence:
        method = build_method(divergence=divergence)
        method.roles["generator"].requires_grad_(True)
        method.step(batch(method), GENERATOR).loss.backward()
        gradients.append(method.roles["generator"].cls.predictions.transform.dense.weight.grad)
    assert not torch.allclose(gradients[0], gradients[1], rtol=1e-3)


def test_a_score_is_pulled_apart_by_squared_error() -> None:
    method = build_method(SCORE)
    examples = batch(method)
    out = method.step(examples, GENERATOR)
    changed = adversarial_ids(method, examples)
    s, t = (
        method.roles[r](input_ids=changed, attention_mask=torch.ones_like(changed)).logits
        for r in ("student", "teacher")
    )
    torch.testing.assert_close(out.loss, -(s - t).square().sum(), rtol=1e-4, atol=1e-5)


def test_each_step_has_its_own_text_and_the_same_step_the_same() -> None:
    method = build_method()
    texts = [generated_ids(method, batch(method, step=step))[0] for step in (0, 0, 1)]
    assert torch.equal(texts[0], texts[1])
    assert not torch.equal(texts[0], texts[2])


def test_both_methods_fill_the_same_masks_alike() -> None:
    """So that they differ in the generator's training alone."""
    a, b = build_method(), build_method(kind=KDAugment)
    assert torch.equal(generated_ids(a, batch(a))[0], generated_ids(b, batch(b))[0])


def test_turns_and_optimizers() -> None:
    method = build_method(
        generator_steps_per_cycle=3, student_steps_per_cycle=7, schedule_over=ScheduleSpan.all_batches
    )
    (phase,) = method.phases(method.config, OptimConfig(steps=14))
    assert phase.turns == (Turn("generator", 3), Turn("student", 7))
    assert phase.schedule_over is ScheduleSpan.all_batches
    optims = method.optimizers(OptimConfig(lr=1e-3), phase)
    assert (optims["student"].lr, optims["generator"].lr) == (1e-3, 5e-7)


def test_masks_follow_the_rate() -> None:
    method = build_method(mask_rate=0.5)
    free = masking.maskable(batch(method).inputs["student"], SPECIAL)
    mask, _ = method.mask_and_score(batch(method))
    assert torch.equal(mask, masking.draw_mask(free, 0.5, rng.stream(1, "mask", "train", 0)))
    assert not mask[:, [0, -1]].any()


def unlabeled(method: Any) -> Batch:
    examples = batch(method)
    examples.labels = None
    return examples


def test_zskds_student_follows_the_teacher_on_both_texts_without_a_label() -> None:
    method = build_method(kind=ZSKD, temperature=2.0, soft_weight=0.3, pseudo_weight=0.6)
    examples = unlabeled(method)
    changed, _ = generated_ids(method, examples)
    out = method.step(examples, STUDENT)
    terms = []
    for text in (examples.inputs["student"]["input_ids"], changed):
        answers = [method.roles[r](input_ids=text, attention_mask=torch.ones_like(text)).logits for r in
                   ("student", "teacher")]  # fmt: skip
        terms.append(4 * losses.kl_divergence(answers[0], answers[1], 2.0).sum())
    torch.testing.assert_close(out.loss, 0.3 * terms[0] + 0.6 * terms[1], rtol=1e-5, atol=1e-5)
    assert set(out.loss_terms) == {"soft", "pseudo"}


def mlm_by_hand(method: Any, examples: Batch) -> Tensor:
    """L_MLM worked out row by row."""
    mask, logits = method.mask_and_score(examples)
    log_probs, total, place = logits.log_softmax(dim=-1), torch.zeros(()), 0
    for row, masked in zip(examples.inputs["student"]["input_ids"], mask, strict=True):
        targets = row[masked]
        token_log_probs = log_probs[place : place + len(targets)]
        place += len(targets)
        if len(targets):
            total = total - torch.stack([token_log_probs[i, token] for i, token in enumerate(targets)]).mean()
    return total


def test_zskds_generator_pulls_apart_and_stays_near_the_text() -> None:
    method = build_method(kind=ZSKD, mlm_weight=0.7)
    examples = unlabeled(method)
    method.roles["generator"].requires_grad_(True)
    out = method.step(examples, GENERATOR)
    changed = adversarial_ids(method, examples)
    answers = [method.roles[r](input_ids=changed, attention_mask=torch.ones_like(changed)).logits for r in
               ("student", "teacher")]  # fmt: skip
    divergence, mlm_loss = losses.kl_divergence(*answers).sum(), mlm_by_hand(method, examples)
    torch.testing.assert_close(out.loss, 0.7 * mlm_loss - divergence, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out.loss_terms["mlm"], mlm_loss.detach(), rtol=1e-5, atol=1e-5)
    assert mlm_loss > 0


def test_zskds_warm_start_is_language_modeling_alone() -> None:
    method = build_method(kind=ZSKD, warm_start_steps=5, warm_start_lr=3e-5)
    warm, train = method.phases(method.config, OptimConfig(steps=9))
    assert (warm.name, warm.turns, warm.steps) == (WARM_START, (GENERATOR,), 5)
    assert (train.name, train.steps) == ("train", 9)
    assert (warm.evaluated, train.evaluated) == (False, True)
    rates = [method.optimizers(OptimConfig(lr=1e-3), phase)["generator"].lr for phase in (warm, train)]
    assert rates == [3e-5, 5e-7]
    examples = unlabeled(method)
    examples.phase = WARM_START
    out = method.step(examples, GENERATOR)
    torch.testing.assert_close(out.loss, mlm_by_hand(method, examples), rtol=1e-5, atol=1e-5)
    assert set(out.loss_terms) == {"mlm"}


def test_kd_ood_is_the_soft_loss_alone() -> None:
    method = build_method(kind=KDOOD, temperature=2.0)
    examples = unlabeled(method)
    logits = method.roles["student"](**examples.inputs["student"]).logits
    assert examples.teacher_logits is not None
    expected = 4 * losses.kl_divergence(logits, examples.teacher_logits, 2.0).sum()
    torch.testing.assert_close(method.step(examples, STUDENT).loss, expected, rtol=1e-5, atol=1e-5)
