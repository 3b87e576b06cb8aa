"""Fine-tuning losses against a plain transformers loop."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from accelerate import Accelerator
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    get_linear_schedule_with_warmup,
)

from kdrun import losses, registry
from kdrun.config.optim import OptimConfig
from kdrun.config.task import TaskConfig
from kdrun.data.loader import BatchLoader
from kdrun.data.splits import make_split
from kdrun.data.tokenization import tokenize
from kdrun.methods.base import MethodContext
from kdrun.training.callbacks import TrainerCallback
from kdrun.training.trainer import Trainer, TrainerSettings

STEPS = 20
WORDS = ["good", "bad", "film", "a", "not", "very", "the", "is", "was", "plot"]


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    vocab = {token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    backend = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    backend.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=32,
    )  # fmt: skip


class Losses(TrainerCallback):
    def __init__(self) -> None:
        self.values: list[float] = []

    def on_log(self, record: dict[str, Any], total: int) -> None:
        self.values.append(record["loss"])


@pytest.mark.parametrize("regression", [False, True])
def test_same_losses_as_a_plain_loop(regression: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, rng.integers(3, 12))) for _ in range(100)]
    labels = rng.uniform(0, 5, 100).astype(np.float32) if regression else rng.integers(0, 2, 100).astype(np.int32)
    outputs = 1 if regression else 2
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    torch.manual_seed(0)
    kind = "regression" if regression else "single_label_classification"
    config = BertConfig(vocab_size=15, problem_type=kind, **sizes)
    config.num_labels, config.hidden_dropout_prob, config.attention_probs_dropout_prob = outputs, 0.0, 0.0
    BertForSequenceClassification(config).save_pretrained(tmp_path / "model")
    optim = OptimConfig(lr=1e-3, weight_decay=0.0, warmup_ratio=0.0, max_grad_norm=1.0, steps=STEPS, batch_size=16)
    task = TaskConfig(name="t", labels=[] if regression else ["a", "b"], rows={"train": 100, "dev": 100})
    tokens = tokenize(make_split("train", [pa.array(texts)], pa.array(labels), "test"), tiny_tokenizer(), 32)
    feed = BatchLoader({"student": tokens}, labels, torch.device("cpu"))

    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model", dtype=torch.float32).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, STEPS)
    order = [rows for epoch in range(3) for rows in feed.epoch_batches(16, 7, "train", epoch)][:STEPS]
    plain = []
    for rows in order:
        batch = tokens.batch(rows)
        gold = torch.from_numpy(labels[rows]).to(torch.float32 if regression else torch.int64)
        loss = model(**batch, labels=gold).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        plain.append(loss.item())

    student = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model", dtype=torch.float32)
    parts = MethodContext({"student": student}, task, None, losses.hard_loss(regression), 7, torch.device("cpu"))
    entry = registry.get("method", "finetune")
    assert entry.config is not None
    method, logged = entry.target(entry.config(), parts), Losses()
    settings = TrainerSettings(optim, seed=7, log_every=1)
    phases = method.phases(method.config, optim)
    Trainer(method, phases, feed, settings, Accelerator(cpu=True), lambda: (None, {}), logged).run()
    np.testing.assert_allclose(logged.values, plain, atol=1e-5)
    assert plain[-1] != pytest.approx(plain[0], rel=1e-3)
