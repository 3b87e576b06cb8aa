"""Tiny encoders with attention maps, and methods and batches for them."""

from typing import Any

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, BertConfig

from kdrun import losses
from kdrun.config.task import TaskConfig
from kdrun.data.batch import Batch
from kdrun.methods.base import MethodContext
from kdrun.methods.shared.intermediate_layers import (
    IntermediateLayerMethod,
    IntermediateSettings,
)
from kdrun.models import attention_maps

CLASSES = TaskConfig(name="sst2", labels=["a", "b"], metrics=["accuracy"], headline="accuracy")
SCORE = TaskConfig(name="stsb", range=[0, 5], metrics=["pearson"], headline="pearson")
VOCAB = 40


def model(layers: int, width: int, heads: int, implementation: str = attention_maps.NAME, outputs: int = 2) -> Any:
    torch.manual_seed(layers)
    sizes = {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads, "intermediate_size": 16}
    config = BertConfig(vocab_size=VOCAB, pad_token_id=0, initializer_range=0.3, **sizes)  # pyright: ignore
    config.num_labels = outputs
    return AutoModelForSequenceClassification.from_config(config, attn_implementation=implementation).eval()


def method(task: TaskConfig = CLASSES, heads: int = 2, **settings: Any) -> IntermediateLayerMethod:
    """A student of 2 layers × 8 and a frozen teacher of 4 layers × 16 with 4 heads."""
    roles: dict[str, nn.Module] = {
        "student": model(2, 8, heads, outputs=task.num_outputs),
        "teacher": model(4, 16, 4, outputs=task.num_outputs).requires_grad_(False),
    }
    loss = losses.logit_mse if task.is_regression else losses.kl_divergence
    parts = MethodContext(roles, task, loss, losses.hard_loss(task.is_regression), 1, torch.device("cpu"))
    return IntermediateLayerMethod(IntermediateSettings(**settings), parts)


def batch(lengths: list[int], width: int) -> Batch:
    """Row i has the same tokens in every batch, padded to a width."""
    ids, mask = torch.zeros(len(lengths), width, dtype=torch.long), torch.zeros(len(lengths), width, dtype=torch.long)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.arange(length) * 7 % (VOCAB - 4) + 4
        mask[row, :length] = 1
    inputs = {"input_ids": ids, "attention_mask": mask}
    return Batch(torch.arange(len(lengths)), dict.fromkeys(("student", "teacher"), inputs))


DOMAIN_TASK = TaskConfig(
    name="t", labels=["a", "b"], metrics=["accuracy"], headline="accuracy", domains=["x", "y", "z"], rows={"dev": 1}
)
