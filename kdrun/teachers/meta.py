"""The meta-teacher of Meta-KD (arXiv 2012.01266): one teacher over domains, towards what transfers between them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy

from kdrun import rng
from kdrun.method import Batch, Parts, StepOutput
from kdrun.models.built import seeded
from kdrun.phases import Turn
from kdrun.teachers.config import Corruption
from kdrun.teachers.domain_branch import DomainBranch, mean_of_tokens, wrong_domains
from kdrun.teachers.lessons import DomainTeaching

FILE = "domain_branch.safetensors"


class Meta(DomainTeaching):
    """Classifier θ and domain branch ψ, on rows x of domain k with transferability t(x).

        wrong:     min over θ, ψ:  t(x) · CE(x, y) + γ₁ · CE(domain(u(x)), k̃)     k̃ ≠ k, drawn afresh
        permuted:  min over θ, ψ:  t(x) · (CE(x, y) + γ₁ · CE(domain(u(x)), k̃))   k̃: the batch's domains permuted

    The branch knows the row's domain and is taught another: content(x), and with it the encoder, must not tell.

    Differences:
        corruption: the paper corrupts with a wrong domain and weights the first term alone; the authors' code
            permutes the batch's domains, by which a row may keep its own, and weights both.
        head: the paper's is a linear layer on relu(pooled); here it is the model family's own, so that this teacher
            and those it is compared with differ in their training alone.
    """

    def __init__(self, config: Any, parts: Parts, seen: list[int]) -> None:
        super().__init__(config, parts, seen)
        settings: Any = self.roles["student"].config
        count = len(parts.task.domains)
        with seeded(parts.seed, "domain branch"):
            self.branch = DomainBranch(settings.hidden_size, count, config.dropout, settings.initializer_range)
        self.branch.to(parts.device)
        self.among = torch.tensor(seen, device=parts.device)

    def trainable(self, role: str) -> Iterable[nn.Module]:
        """The teacher and its domain branch."""
        return [self.roles[role], self.branch]

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """The weighted cross-entropy and the domain corruption, summed."""
        assert batch.labels is not None
        inputs, own, weight = batch.inputs["student"], batch.extras["domain"], batch.extras["transferability"]
        out = self.roles["student"](**inputs, output_hidden_states=True)
        vectors = self.branch(mean_of_tokens(out.hidden_states[-1], inputs["attention_mask"]), own)
        stream = rng.stream(self.parts.seed, "corruption", batch.phase, batch.step)
        if self.config.corruption is Corruption.permuted:
            taught = own[torch.randperm(len(own), generator=stream).to(own.device)]
        else:
            taught = wrong_domains(own, self.among, stream)
        hard = cross_entropy(out.logits.float(), batch.labels, reduction="none")
        domain = cross_entropy(self.branch.logits(vectors).float(), taught, reduction="none")
        if self.config.corruption is Corruption.permuted:
            loss = (weight * (hard + self.config.domain_weight * domain)).sum()
        else:
            loss = (weight * hard + self.config.domain_weight * domain).sum()
        terms = {"hard": hard.detach().sum(), "domain": domain.detach().sum()}
        return StepOutput(loss, len(batch.ids), terms, {"transferability": weight.sum()})

    def finish(self, folder: Path) -> None:
        """Write the domain branch."""
        for domain in set(range(len(self.parts.task.domains))) - set(self.seen):
            self.branch.forget(domain, self.seen)
        save_file({name: value.cpu() for name, value in self.branch.state_dict().items()}, folder / FILE)

    @staticmethod
    def part(model: nn.Module, folder: Path, domain: int | None, config: Any) -> dict[str, nn.Module]:
        """The domain branch, as role `domain_branch`."""
        weights = load_file(folder / FILE)
        count, width = weights["embedding.weight"].shape
        branch = DomainBranch(width, count, config.dropout)
        branch.load_state_dict(weights)
        return {"domain_branch": branch}
