"""The meta-teacher of Meta-KD."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from kdrun import rng
from kdrun.config.teacher import DomainCorruption
from kdrun.data.batch import Batch
from kdrun.methods.base import MethodContext, StepOutput
from kdrun.methods.domain_teachers.base import DomainTeacherMethod
from kdrun.methods.phases import Turn
from kdrun.models.domain_embedding import DomainClassifier, mean_pool
from kdrun.rng import seeded_init


def sample_wrong_domains(domains: Tensor, among: Tensor, generator: torch.Generator) -> Tensor:
    """For each row a domain that is not its own, each of the others equally likely, [batch] int64.

    Args:
        domains: domain indices, [batch].
        among: the domains to choose from, sorted, [k]; each row's own is one of them.
        generator: a CPU stream (`kdrun.rng.stream`).

    Raises:
        ValueError: there is no other domain.
    """
    if len(among) < 2:
        raise ValueError("a wrong domain needs at least two domains")
    own = torch.searchsorted(among, domains)
    drawn = torch.randint(1, len(among), domains.shape, generator=generator).to(domains.device)
    return among[(own + drawn) % len(among)]


FILE = "domain_branch.safetensors"


class MetaTeacher(DomainTeacherMethod):
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

    cache_name = "Meta"

    def __init__(self, config: Any, parts: MethodContext, seen: list[int]) -> None:
        super().__init__(config, parts, seen)
        settings: Any = self.roles["student"].config
        count = len(parts.task.domains)
        with seeded_init(parts.seed, "domain branch"):
            self.branch = DomainClassifier(settings.hidden_size, count, config.dropout, settings.initializer_range)
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
        vectors = self.branch(mean_pool(out.hidden_states[-1], inputs["attention_mask"]), own)
        stream = rng.stream(self.context.seed, "corruption", batch.phase, batch.step)
        if self.config.corruption is DomainCorruption.permuted:
            taught = own[torch.randperm(len(own), generator=stream).to(own.device)]
        else:
            taught = sample_wrong_domains(own, self.among, stream)
        hard = cross_entropy(out.logits.float(), batch.labels, reduction="none")
        domain = cross_entropy(self.branch.logits(vectors).float(), taught, reduction="none")
        if self.config.corruption is DomainCorruption.permuted:
            loss = (weight * (hard + self.config.domain_weight * domain)).sum()
        else:
            loss = (weight * hard + self.config.domain_weight * domain).sum()
        terms = {"hard": hard.detach().sum(), "domain": domain.detach().sum()}
        return StepOutput(loss, len(batch.ids), terms, {"transferability": weight.sum()})

    def save_extra_modules(self, folder: Path) -> None:
        """Write the domain branch."""
        for domain in set(range(len(self.context.task.domains))) - set(self.seen):
            self.branch.average_unseen(domain, self.seen)
        save_file({name: value.cpu() for name, value in self.branch.state_dict().items()}, folder / FILE)

    @staticmethod
    def load_for_domain(model: nn.Module, folder: Path, domain: int | None, config: Any) -> dict[str, nn.Module]:
        """The domain branch, as role `domain_branch`."""
        weights = load_file(folder / FILE)
        count, width = weights["embedding.weight"].shape
        branch = DomainClassifier(width, count, config.dropout)
        branch.load_state_dict(weights)
        return {"domain_branch": branch}
