"""Masked-language-model pretraining of a scratch model on the corpus, kept in the cache."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForMaskedLM, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from kdrun import cache, rng
from kdrun.config import PretrainConfig
from kdrun.data.corpus import Corpus
from kdrun.data.tokens import tokenizer_fingerprint
from kdrun.errors import ModelError, TrainingError
from kdrun.models.built import VOLATILE, BuildContext, head_prefix, seeded
from kdrun.models.files import quiet

FORMAT = 1
"""Number of the procedure below; part of the cache key."""

WARMUP = 0.1
WEIGHT_DECAY = 0.01
CLIP_NORM = 1.0
BUCKET = 50
"""Batches whose sequences are sorted by length together: little padding, and still a mixed order."""

WEIGHTS, REPORT = "model.safetensors", "pretraining.json"
IGNORED = -100


@dataclass(frozen=True)
class Pretrained:
    """A pretrained masked language model in the cache.

    Attributes:
        folder: holds it as `save_pretrained` writes it.
        corpus: the name of the text it read.
        first_loss: mean loss of the first tenth of the steps, nats a masked token.
        last_loss: the same for the last tenth.
        steps: optimizer steps.
    """

    folder: Path
    corpus: str
    first_loss: float
    last_loss: float
    steps: int

    @property
    def summary(self) -> str:
        """The course of the loss in words."""
        return f"{self.steps} steps, loss {self.first_loss:.2f} to {self.last_loss:.2f} nats a masked token"


def pretrained(
    settings: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, config: PretrainConfig, context: BuildContext
) -> Pretrained:
    """Pretrain a model of this config, or find it in the cache.

    Raises:
        TrainingError: the loss became infinite or NaN.
        ModelError: the tokenizer has no mask token.
    """
    if tokenizer.mask_token_id is None:
        raise ModelError(f"{context.role}.pretrain needs a tokenizer with a mask token; set pretrain.steps=0")
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
        "pretrain": asdict(config),
        "seed": [context.seed, context.role],
        "device": torch.device(context.device).type,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }

    def build(folder: Path) -> None:
        context.tell(f"{context.role}: {config.steps} steps of pretraining on {corpus.name}, once")
        model, losses = _train(shape, tokenizer, config, corpus, context)
        tenth = max(1, len(losses) // 10)
        report = {"first_loss": float(np.mean(losses[:tenth])), "last_loss": float(np.mean(losses[-tenth:]))}
        with quiet():
            model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / REPORT).write_text(json.dumps(report))

    folder, _ = cache.fetch("pretrained", key, build)
    report = json.loads((folder / REPORT).read_text())
    return Pretrained(folder, corpus.name, report["first_loss"], report["last_loss"], config.steps)


def copy_body(source: Pretrained, model: PreTrainedModel) -> None:
    """Copy the pretrained weights into a model: all of them into a generator, the body into a classifier.

    Raises:
        ModelError: the model has weights in its body that the pretrained one lacks.
    """
    state, body = load_file(source.folder / WEIGHTS), head_prefix(model)
    own = model.state_dict()
    fitting = {name: tensor for name, tensor in state.items() if name in own}
    # the pooler is a classifier's own; weights tied to another are saved once
    lacking = [n for n in own if n.startswith(body) and n not in fitting and not n.startswith(f"{body}pooler.")]
    if lacking:
        raise ModelError(f"the pretrained model in {source.folder} lacks {lacking[0]}; delete that folder")
    model.load_state_dict(fitting, strict=False)


def mlm_logits(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """The masked-language-model head alone, so that it need not run on every position.

    Args:
        model: a BERT, DistilBERT or RoBERTa masked language model.
        hidden: last hidden states, [..., width].

    Returns:
        Logits, [..., vocabulary].

    Raises:
        ModelError: the head of another family.
    """
    parts: Any = model
    if hasattr(model, "cls"):
        return parts.cls(hidden)
    if hasattr(model, "lm_head"):
        return parts.lm_head(hidden)
    if hasattr(model, "vocab_projector"):
        return parts.vocab_projector(parts.vocab_layer_norm(parts.activation(parts.vocab_transform(hidden))))
    raise ModelError(f"{type(model).__name__} is no BERT, DistilBERT or RoBERTa masked language model")


def mask_tokens(
    ids: Tensor, maskable: Tensor, rate: float, mask_id: int, words: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """BERT's masking: of the chosen tokens 80 % become the mask, 10 % another token, 10 % stay.

    Args:
        ids: [batch, length].
        maskable: true for tokens that are neither special nor padding, [batch, length].
        rate: share of them that is chosen; at least one of the batch is.
        mask_id: id of the mask token.
        words: ids that a random token may be, [number].
        generator: decides all.

    Returns:
        The changed ids, and the targets: the original id where chosen, -100 elsewhere.
    """
    chosen = (torch.rand(ids.shape, generator=generator) < rate) & maskable
    if not chosen.any():
        chosen.view(-1)[maskable.view(-1).nonzero()[:1]] = True
    fate = torch.rand(ids.shape, generator=generator)
    other = words[torch.randint(len(words), ids.shape, generator=generator)]
    changed = torch.where(chosen & (fate < 0.8), mask_id, ids)
    changed = torch.where(chosen & (fate >= 0.9), other, changed)
    return changed, torch.where(chosen, ids, IGNORED)


def _train(
    settings: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    config: PretrainConfig,
    corpus: Corpus,
    context: BuildContext,
) -> tuple[PreTrainedModel, list[float]]:
    device, role = torch.device(context.device), f"pretrain-{context.role}"
    with seeded(context.seed, context.role):
        model = AutoModelForMaskedLM.from_config(settings).to(device).train()
    optimizer, schedule = _optimizer(model, config)
    special = torch.tensor(sorted(set(tokenizer.all_special_ids)))
    words = torch.tensor([i for i in range(len(tokenizer)) if i not in set(tokenizer.all_special_ids)])
    pad, mask = tokenizer.pad_token_id, tokenizer.mask_token_id
    assert isinstance(pad, int)
    assert isinstance(mask, int)
    losses: list[float] = []
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):  # dropout draws from the global generators
        for step, ids in enumerate(_batches(corpus, tokenizer, config, context.seed, role)):
            generator = rng.stream(context.seed, "mask", role, step)
            maskable = torch.isin(ids, special, invert=True)
            attention = ids.ne(pad).long()
            changed, targets = mask_tokens(ids, maskable, config.mask_rate, mask, words, generator)
            torch.default_generator.manual_seed(rng.derive(context.seed, "dropout", role, step))
            if gpus:
                torch.cuda.manual_seed(rng.derive(context.seed, "dropout", role, step))
            loss = _loss(model, changed.to(device), attention.to(device), targets.to(device))
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                raise TrainingError(
                    f"the pretraining loss of the {context.role} is {losses[-1]} at step {step}; "
                    f"lower {context.role}.pretrain.lr={config.lr}"
                )
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
    return model.cpu().eval(), losses


def _loss(model: PreTrainedModel, ids: Tensor, attention: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over the chosen tokens; the head runs on those alone."""
    hidden = model.base_model(input_ids=ids, attention_mask=attention).last_hidden_state
    chosen = targets != IGNORED
    return nn.functional.cross_entropy(mlm_logits(model, hidden[chosen]).float(), targets[chosen])


def _optimizer(
    model: PreTrainedModel, config: PretrainConfig
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.lr)
    warm = max(1, round(WARMUP * config.steps))

    def factor(step: int) -> float:
        return min((step + 1) / warm, max(0.0, (config.steps - step) / max(1, config.steps - warm)))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _batches(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, config: PretrainConfig, seed: int, role: str
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
        for chosen in _epoch(lengths, config.batch_size, seed, role, epoch):
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
