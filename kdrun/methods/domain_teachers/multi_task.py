"""A shared encoder with one output layer per domain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy

from kdrun.data.batch import Batch
from kdrun.data.tokenization import TokenizedSplit
from kdrun.methods.base import MethodContext, StepOutput
from kdrun.methods.domain_teachers.base import DomainTeacherMethod
from kdrun.methods.phases import Turn
from kdrun.models.families import initializer_range, output_layer
from kdrun.rng import seeded_init
from kdrun.tasks.predictor import Predictor

FILE = "heads.safetensors"


class MultiTaskTeacher(DomainTeacherMethod):
    """Shared encoder with one output layer per domain; each row uses the layer of its domain.

        min over θ, W_1 … W_K:  CE(W_k · f_θ(x), y)    for x of domain k

    In training the layers are one wide linear layer, [K · classes, width]; each row uses the part of its domain.
    """

    cache_name = "MultiTask"

    def __init__(self, config: Any, context: MethodContext, seen: list[int]) -> None:
        super().__init__(config, context, seen)
        self.holder, self.name = output_layer(self.roles["student"])
        plain = getattr(self.holder, self.name)
        self.plain, self.count = plain, len(context.task.domains)
        settings: Any = self.roles["student"].config
        with seeded_init(context.seed, "heads"):
            wide = nn.Linear(plain.in_features, self.count * plain.out_features, bias=plain.bias is not None)
            nn.init.normal_(wide.weight, std=initializer_range(settings))
            if plain.bias is not None:
                nn.init.zeros_(wide.bias)
        setattr(self.holder, self.name, wide.to(context.device))

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """Summed cross-entropy of the layer of each row's domain."""
        assert batch.labels is not None
        logits = self.roles["student"](**batch.inputs["student"]).logits.view(len(batch.ids), self.count, -1)
        domain_logits = logits[torch.arange(len(logits), device=logits.device), batch.extras["domain"]]
        loss = cross_entropy(domain_logits.float(), batch.labels, reduction="sum")
        return StepOutput(loss, len(batch.ids), {"hard": loss.detach()})

    def logits(self, predictor: Predictor, tokens: TokenizedSplit, domains: np.ndarray) -> np.ndarray:
        """Logits of the layer of each row's domain, [rows, classes]."""
        wide = predictor.logits(self.roles["student"], tokens, self.count * self.plain.out_features)
        return wide.reshape(len(wide), self.count, -1)[np.arange(len(wide)), domains]

    def save_extra_modules(self, folder: Path) -> None:
        """Write the layers, and restore the plain layer of the model, which `load_for_domain` fills."""
        wide = getattr(self.holder, self.name)
        heads = {name: value.detach().cpu().contiguous() for name, value in wide.state_dict().items()}
        save_file(heads, folder / FILE)
        setattr(self.holder, self.name, self.plain)

    @staticmethod
    def load_for_domain(model: nn.Module, folder: Path, domain: int | None, config: Any) -> dict[str, nn.Module]:
        """Load the output layer of a domain into the model."""
        assert domain is not None
        holder, name = output_layer(model)
        layer, heads = getattr(holder, name), load_file(folder / FILE)
        rows = slice(domain * layer.out_features, (domain + 1) * layer.out_features)
        layer.load_state_dict({key: value[rows] for key, value in heads.items()})
        return {}
