"""MATE-KD's training in float64 against a plain loop in the textbook form."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.functional import log_softmax, one_hot
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification, get_linear_schedule_with_warmup

from kdrun import losses, rng
from kdrun.config.optim import OptimConfig, OptimizerConfig
from kdrun.config.task import TaskConfig
from kdrun.data.batch import Batch
from kdrun.generation import gumbel
from kdrun.generation.types import SharedVocabulary
from kdrun.methods.base import MethodContext, StepOutput
from kdrun.methods.mate_kd import MateKD, MateKDConfig
from kdrun.methods.phases import Turn
from kdrun.methods.shared.text_reuse import TextWindow
from kdrun.training.callbacks import TrainerCallback
from kdrun.training.trainer import Trainer, TrainerSettings

VOCAB, MASK, SPECIAL, LENGTH, ROWS, SIZE, SEED = 30, 3, [0, 1, 2, 3], 8, 15, 3, 1
TASK = TaskConfig(name="rte", labels=["a", "b"], metrics=["accuracy"], headline="accuracy")
STUDENT = OptimConfig(lr=1e-3, warmup_ratio=0.0, eps=1e-6, max_grad_norm=5.0, steps=16, batch_size=SIZE)
GENERATOR = OptimizerConfig(lr=2e-3, warmup_ratio=0.0, eps=1e-6, max_grad_norm=5.0)
"""Four cycles of one step of the generator and four of the student: twenty steps."""


def in_double() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = BertConfig(vocab_size=VOCAB, pad_token_id=0, num_labels=2, **sizes, **dropout)  # pyright: ignore
    classes = {"generator": BertForMaskedLM, "teacher": BertForSequenceClassification}
    classes["student"] = BertForSequenceClassification
    roles: dict[str, nn.Module] = {role: kind(config).double() for role, kind in classes.items()}
    for model in roles.values():
        for p in model.parameters():
            p.data.mul_(4)
    return roles


class Loader:
    """Rows of random tokens, three at a time in order."""

    def __init__(self, teacher: Any) -> None:
        generator = torch.Generator().manual_seed(5)
        self.ids = torch.randint(4, VOCAB, (ROWS, LENGTH), generator=generator)
        self.ids[:, 0], self.ids[:, -1] = 1, 2
        self.labels, self.num_rows = torch.randint(0, 2, (ROWS,), generator=generator), ROWS
        with torch.no_grad():
            self.teacher_logits = teacher.eval()(input_ids=self.ids).logits

    def epoch_batches(self, batch_size: int, seed: int, phase: str, epoch: int) -> list[np.ndarray]:
        return list(np.arange(ROWS).reshape(-1, batch_size))

    def load_batch(self, rows: np.ndarray, phase: str, step: int) -> Batch:
        ids = self.ids[rows]
        text = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        inputs: dict[str, dict[str, Tensor]] = dict.fromkeys(("student", "teacher", "generator"), text)
        return Batch(torch.from_numpy(rows), inputs, self.labels[rows], self.teacher_logits[rows], phase, step)


def mask_of(ids: Tensor, stream: str, step: int) -> Tensor:
    drawn = torch.rand(ids.shape, generator=rng.stream(SEED, "mask", stream, step)) < MateKDConfig().mask_rate
    return drawn & ~torch.isin(ids, torch.tensor(SPECIAL))


def cross_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    """Minus Σ p_T log p_S, averaged over the rows: the divergence of the authors' code."""
    return -(teacher.softmax(-1) * log_softmax(student, -1)).sum(-1).mean()


def kl(student: Tensor, teacher: Tensor) -> Tensor:
    return (teacher.softmax(-1) * (log_softmax(teacher, -1) - log_softmax(student, -1))).sum(-1).mean()


def scores(roles: dict[str, Any], ids: Tensor, mask: Tensor) -> Tensor:
    """The generator's logits at every position of the masked text, [rows, length, vocabulary]."""
    logits = roles["generator"](input_ids=ids.masked_fill(mask, MASK)).logits
    return logits.index_fill(-1, torch.tensor(SPECIAL), -torch.inf)


def generator_loss(roles: dict[str, Any], ids: Tensor, step: int) -> Tensor:
    """−D on a whole text of one-hot vectors, each times a whole embedding table."""
    mask = mask_of(ids, "train/generator", step)
    logits = scores(roles, ids, mask)
    stream = rng.numpy_stream(SEED, "gumbel", "train/generator", step)
    noise = torch.zeros_like(logits)
    noise[mask] = gumbel.gumbel_noise(int(mask.sum()), VOCAB, stream, torch.device("cpu")).double()
    relaxed = (logits + noise).softmax(-1)
    sample = one_hot(relaxed.argmax(-1), VOCAB).double() - relaxed.detach() + relaxed
    outputs = {}
    for role in ("teacher", "student"):
        table = roles[role].get_input_embeddings().weight
        mixed = torch.where(mask[..., None], sample @ table.detach(), table.detach()[ids])
        outputs[role] = roles[role](inputs_embeds=mixed).logits
    return -cross_entropy(outputs["student"], outputs["teacher"])


def student_loss(roles: dict[str, Any], batch: Batch, source: Batch) -> Tensor:
    """Loss on the rows of a batch and on text generated from those of another."""
    ids, labels, source_ids = batch.inputs["student"]["input_ids"], batch.labels, source.inputs["student"]["input_ids"]
    assert labels is not None
    with torch.no_grad():
        mask = mask_of(source_ids, "train", source.step)
        drawn = gumbel.sample_tokens(
            scores(roles, source_ids, mask)[mask], rng.stream(SEED, "fill", "train", source.step)
        )
        changed = source_ids.masked_scatter(mask, drawn)
        on_text, on_changed = (roles["teacher"](input_ids=text).logits for text in (ids, changed))
    own, own_changed = (roles["student"](input_ids=text).logits for text in (ids, changed))
    hard = nn.functional.cross_entropy(own, labels)
    return (hard + kl(own, on_text) + kl(own_changed, on_changed)) / 3


def plain_loop(roles: dict[str, Any], loader: Loader, texts_per_turn: int) -> None:
    def batch_of(step: int) -> Batch:
        return loader.load_batch(np.arange(ROWS).reshape(-1, SIZE)[step % (ROWS // SIZE)], "", step)

    configs = {"generator": GENERATOR, "student": STUDENT}
    optimizers, schedules, taken = {}, {}, dict.fromkeys(configs, 0)
    for role, config in configs.items():
        parameters = list(roles[role].parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
        ]
        optimizers[role] = torch.optim.AdamW(groups, lr=config.lr, eps=config.eps)
        schedules[role] = get_linear_schedule_with_warmup(optimizers[role], 0, {"generator": 4, "student": 16}[role])
    for step in range(20):
        role = "generator" if step % 5 == 0 else "student"
        batch = batch_of(taken[role])
        if role == "generator":
            loss = generator_loss(roles, batch.inputs["student"]["input_ids"], taken[role])
        else:
            place = taken[role] % 4
            loss = student_loss(roles, batch, batch_of(taken[role] - place + place % texts_per_turn))
        for optimizer in optimizers.values():
            optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(roles[role].parameters(), configs[role].max_grad_norm)
        optimizers[role].step()
        schedules[role].step()
        taken[role] += 1


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, nn.Module]]:
    """Models in float64, and no cast to float32 on the way."""
    monkeypatch.setattr(Tensor, "float", lambda self: self)
    return in_double


def train(roles: dict[str, nn.Module], loader: Any, kind: type[MateKD] = MateKD, **settings: Any) -> None:
    vocabulary = SharedVocabulary(MASK, torch.tensor(SPECIAL))
    context = MethodContext(
        roles, TASK, losses.kl_divergence, losses.hard_loss(False), SEED, torch.device("cpu"), vocabulary
    )
    config = MateKDConfig(generator_steps_per_cycle=1, student_steps_per_cycle=4, generator_optim=GENERATOR, **settings)
    method = kind(config, context)
    phases, trainer_settings = method.phases(config, STUDENT), TrainerSettings(STUDENT, SEED)
    Trainer(
        method, phases, loader, trainer_settings, Accelerator(cpu=True), lambda: (None, {}), TrainerCallback()
    ).run()


@pytest.mark.parametrize(("reuse", "texts_per_turn"), [(1, 4), (3, 2)])
def test_twenty_alternating_steps_end_at_the_weights_of_a_plain_loop(
    double: Callable[[], dict[str, nn.Module]], reuse: int, texts_per_turn: int
) -> None:
    roles, plain = double(), double()
    loader, start = Loader(roles["teacher"]), [p.clone() for p in roles["generator"].parameters()]
    train(roles, loader, reuse=reuse)
    plain_loop(plain, loader, texts_per_turn)
    for role in ("generator", "student"):
        for ours, expected in zip(roles[role].parameters(), plain[role].parameters(), strict=True):
            torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    assert not all(torch.equal(a, b) for a, b in zip(start, roles["generator"].parameters(), strict=True))


class Forgetful(MateKD):
    """Keeps no text from step to step, like a training that stops and resumes after every step."""

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        self._texts = TextWindow(self.config.reuse)
        return super().step(batch, turn)


def test_a_training_that_resumes_anywhere_reuses_the_same_text(double: Callable[[], dict[str, nn.Module]]) -> None:
    ends = []
    for kind in (MateKD, Forgetful):
        roles = double()
        train(roles, Loader(roles["teacher"]), kind, reuse=3, candidates=2)
        ends.append([p for role in roles.values() for p in role.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))
