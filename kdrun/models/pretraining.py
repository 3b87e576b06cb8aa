"""Pretrain a model from scratch on the corpus, resumable and cached."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from kdrun import rng, signals
from kdrun.config.model import PretrainConfig
from kdrun.data.corpus.corpora import Corpus
from kdrun.data.tokenization import tokenizer_fingerprint
from kdrun.errors import ModelError, TrainingError
from kdrun.models import families
from kdrun.models.bundle import BuildContext
from kdrun.models.hub_files import silence_transformers
from kdrun.models.masked_lm import MaskedLMObjective
from kdrun.models.parameters import VOLATILE, head_prefix
from kdrun.models.span_corruption import SpanCorruptionObjective
from kdrun.rng import seeded_init
from kdrun.storage import cache, checkpoint_files, hashing, state_tensors
from kdrun.storage.checkpoint_files import CheckpointData
from kdrun.storage.checkpoint_manager import CheckpointManager

FORMAT = 1
"""Number of the procedure below; part of the cache key."""

WARMUP = 0.1
WEIGHT_DECAY = 0.01
CLIP_NORM = 1.0
BUCKET = 50
"""Batches whose sequences are sorted by length together: little padding, and still a mixed order."""

WEIGHTS, REPORT = "model.safetensors", "pretraining.json"


@dataclass(frozen=True)
class Pretrained:
    """A pretrained language model in the cache.

    Attributes:
        weights: by name.
        corpus: the name of the text it read.
        first_loss: mean loss of the first tenth of the steps, nats a token that is predicted.
        last_loss: the same for the last tenth.
        steps: optimizer steps.
        unit: which tokens are predicted, in words.
    """

    weights: dict[str, Tensor] = field(repr=False)
    corpus: str
    first_loss: float
    last_loss: float
    steps: int
    unit: str

    @property
    def summary(self) -> str:
        """The course of the loss in words."""
        return f"{self.steps} steps, loss {self.first_loss:.2f} to {self.last_loss:.2f} nats {self.unit}"


def pretrained(
    settings: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, config: PretrainConfig, context: BuildContext
) -> Pretrained:
    """Pretrain a model of this config, or find it in the cache.

    Raises:
        TrainingError: the loss became infinite or NaN.
        ModelError: the tokenizer has no mask token (or, for T5, no sentinels).
    """
    objective = (SpanCorruptionObjective if families.is_text_to_text(settings) else MaskedLMObjective)(
        config, tokenizer, context.role
    )
    corpus = context.corpus()
    shape = copy.deepcopy(settings)
    # labels belong to the task, and one pretrained body serves all tasks
    shape.id2label, shape.label2id, shape.problem_type = {0: "0", 1: "1"}, {"0": 0, "1": 1}, None
    sizes = {key: repr(value) for key, value in sorted(shape.to_dict().items()) if key not in VOLATILE}
    key = {
        "format": FORMAT,
        "sizes": sizes,
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "corpus": corpus.fingerprint,
        "pretrain": objective.settings(config),
        "seed": [context.seed, context.role],
        "device": torch.device(context.device).type,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }

    def build(folder: Path) -> None:
        context.log(f"{context.role}: {config.steps} steps of pretraining on {corpus.name}, once")
        kept = None if context.checkpoints is None else _PretrainCheckpoints(context.checkpoints, hashing.digest(key))
        model, losses = _train(shape, objective, _batches(corpus, tokenizer, config, context), config, context, kept)
        tenth = max(1, len(losses) // 10)
        report = {"first_loss": float(np.mean(losses[:tenth])), "last_loss": float(np.mean(losses[-tenth:]))}
        with silence_transformers():
            model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / REPORT).write_text(json.dumps(report))

    def read(folder: Path) -> tuple[dict[str, Tensor], dict[str, float]]:
        return load_file(folder / WEIGHTS), json.loads((folder / REPORT).read_text())

    (weights, report), _ = cache.fetch("pretrained", key, build, read)
    if context.checkpoints is not None:
        checkpoint_files.delete_checkpoints(context.checkpoints.place, newest=True)
    return Pretrained(weights, corpus.name, report["first_loss"], report["last_loss"], config.steps, objective.unit)


def copy_body(source: Pretrained, model: PreTrainedModel) -> None:
    """Copy the pretrained weights into a model: all of them into a generator, the body into a classifier.

    Raises:
        ModelError: the model has weights in its body that the pretrained one lacks.
    """
    body, own = head_prefix(model), model.state_dict()
    fitting = {name: tensor for name, tensor in source.weights.items() if name in own}
    # the pooler is a classifier's own; weights tied to another are saved once
    lacking = [n for n in own if n.startswith(body) and n not in fitting and not n.startswith(f"{body}pooler.")]
    if lacking:
        raise ModelError(f"the model pretrained on {source.corpus} lacks {lacking[0]}, which this one has in its body")
    model.load_state_dict(fitting, strict=False)


class _PretrainCheckpoints:
    """A pretraining's checkpoints.

    Args:
        keeper: says when one is due, and writes it.
        of: hash of all that decides the pretraining: a checkpoint of another one is passed over.
    """

    def __init__(self, keeper: CheckpointManager, of: str) -> None:
        self.keeper, self.of = keeper, of

    def save(self, model: PreTrainedModel, optimizer: torch.optim.Optimizer, losses: list[float]) -> None:
        tensors, plain = state_tensors.optimizer_tensors(optimizer)
        state = {"phase": "pretraining", "step": len(losses), "of": self.of, "losses": losses, "optimizer": plain}
        self.keeper.save(
            CheckpointData({"model": state_tensors.module_tensors(model), "optimizer": tensors}, state, model.config)
        )

    def put_back(self, model: PreTrainedModel, optimizer: torch.optim.Optimizer) -> list[float]:
        """Go back to the newest checkpoint, if there is one. Returns the losses up to there."""
        content = self.keeper.load_latest()
        if content is None or content.state["of"] != self.of:
            return []
        state_tensors.load_module_tensors(model, content.tensors["model"], "pretrained model")
        state_tensors.load_optimizer_tensors(optimizer, content.tensors["optimizer"], content.state["optimizer"])
        return content.state["losses"]


def _train(
    settings: PreTrainedConfig,
    objective: MaskedLMObjective | SpanCorruptionObjective,
    batches: Iterator[Tensor],
    config: PretrainConfig,
    context: BuildContext,
    kept: _PretrainCheckpoints | None,
) -> tuple[PreTrainedModel, list[float]]:
    """Train from the first step on, or from the newest checkpoint: all that is random depends on the step's number."""
    device, role = torch.device(context.device), _stream(context)
    with seeded_init(context.seed, context.role):
        model = objective.new(settings).to(device).train()  # pyright: ignore[reportArgumentType]
    optimizer = _optimizer(model, config)
    losses = kept.put_back(model, optimizer) if kept else []
    if losses:
        context.log(f"{context.role}: its pretraining goes on after step {len(losses)}")
    gpus = [device] if device.type == "cuda" else []
    with (
        signals.defer_signals(kept is not None),
        torch.random.fork_rng(devices=gpus),
    ):  # dropout draws from the global ones
        for step, ids in enumerate(islice(batches, len(losses), None), len(losses)):
            rng.seed_dropout(rng.derive(context.seed, "dropout", role, step), device)
            for group in optimizer.param_groups:
                group["lr"] = config.lr * _factor(step, config.steps)
            loss = objective.loss(model, ids, context.seed, role, step)
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                raise TrainingError(
                    f"the pretraining loss of the {context.role} is {losses[-1]} at step {step}; "
                    f"lower {context.role}.pretrain.lr={config.lr}"
                )
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if kept is not None:
                _checkpoint_if_due(kept, model, optimizer, losses)
    return model.cpu().eval(), losses


def _checkpoint_if_due(
    kept: _PretrainCheckpoints, model: PreTrainedModel, optimizer: torch.optim.Optimizer, losses: list[float]
) -> None:
    """Between two steps: save if it is time to, and before stopping if somebody asked for it."""
    try:
        signals.raise_if_requested()
    except signals.StopRequested:
        kept.save(model, optimizer, losses)
        raise
    if kept.keeper.is_due:
        kept.save(model, optimizer, losses)


def _stream(context: BuildContext) -> str:
    return f"pretrain-{context.role}"


def _optimizer(model: PreTrainedModel, config: PretrainConfig) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr)


def _factor(step: int, steps: int) -> float:
    """Share of the learning rate: linear up over the warm-up, then linear down to zero."""
    warm = max(1, round(WARMUP * steps))
    return min((step + 1) / warm, max(0.0, (steps - step) / max(1, steps - warm)))


def _batches(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, config: PretrainConfig, context: BuildContext
) -> Iterator[Tensor]:
    """Exactly `steps` batches of ids [batch, length], padded, one line of the corpus a row.

    Of a corpus with more lines than are needed only the first are read, so that memory stays bounded.
    """
    lines = islice(corpus.lines(), config.steps * config.batch_size)
    rows: list[list[int]] = []
    while chunk := list(islice(lines, 4096)):
        encoded = tokenizer(
            chunk,
            truncation=True,
            max_length=config.max_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        rows += [row for row in encoded if len(row) > 2]  # type: ignore[union-attr, arg-type]
    if not rows:
        raise ModelError(f"the corpus {corpus.name} has no words for pretraining; give another: corpus.dir=PATH")
    assert isinstance(tokenizer.pad_token_id, int)
    lengths = np.array([len(row) for row in rows])
    done, epoch = 0, 0
    while done < config.steps:
        for chosen in _epoch(lengths, config.batch_size, context.seed, _stream(context), epoch):
            width = int(lengths[chosen].max())
            batch = np.full((len(chosen), width), tokenizer.pad_token_id, np.int64)
            for place, row in enumerate(chosen):
                batch[place, : lengths[row]] = rows[row]
            yield torch.from_numpy(batch)
            done += 1
            if done == config.steps:
                return
        epoch += 1


def _epoch(lengths: np.ndarray, size: int, seed: int, role: str, epoch: int) -> Iterator[np.ndarray]:
    """One pass in a mixed order, with sequences of like length in one batch."""
    order = rng.numpy_stream(seed, "order", role, epoch).permutation(len(lengths))
    mixed = rng.numpy_stream(seed, "buckets", role, epoch)
    for start in range(0, len(order), size * BUCKET):
        bucket = order[start : start + size * BUCKET]
        bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
        batches = [bucket[i : i + size] for i in range(0, len(bucket), size)]
        for index in mixed.permutation(len(batches)):
            yield batches[index]
