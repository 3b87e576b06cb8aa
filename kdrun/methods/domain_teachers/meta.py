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
from kdrun.data.transfer import to_device
from kdrun.methods.base import MethodContext, StepOutput
from kdrun.methods.domain_teachers.base import DomainTeacherMethod
from kdrun.methods.phases import Turn
from kdrun.models.domain_embedding import DomainClassifier, mean_pool
from kdrun.models.families import initializer_range
from kdrun.rng import seeded_init


def sample_wrong_domains(domains: Tensor, domains_seen: Tensor, generator: torch.Generator) -> Tensor:
    """Sample for each row a domain other than its own, uniformly, [batch] int64.

    Args:
        domains: domain indices, [batch].
        domains_seen: domains to sample from, sorted, [k], including the domain of each row.
        generator: a CPU stream (`kdrun.rng.stream`).

    Raises:
        ValueError: there is only one domain.
    """
    if len(domains_seen) < 2:
        raise ValueError("a wrong domain needs at least two domains")
    positions = torch.searchsorted(domains_seen, domains)
    offsets = to_device(torch.randint(1, len(domains_seen), domains.shape, generator=generator), domains.device)
    return domains_seen[(positions + offsets) % len(domains_seen)]


FILE = "domain_branch.safetensors"


class MetaTeacher(DomainTeacherMethod):
    """Classifier θ and domain classifier ψ, on rows x of domain k with transferability t(x).

        wrong:     min over θ, ψ:  t(x) · CE(x, y) + γ₁ · CE(domain(u(x)), k̃)     k̃ ≠ k, drawn again in each step
        permuted:  min over θ, ψ:  t(x) · (CE(x, y) + γ₁ · CE(domain(u(x)), k̃))   k̃: the batch's domains permuted

    The domain classifier knows the domain of a row and is trained to predict another one, so that content(x), and with
    it the encoder, must not reveal the domain.

    Differences:
        corruption: the paper uses a wrong domain and weights the first term only; the authors' code permutes the
            domains of the batch, so that a row may keep its own, and weights both terms.
        head: the paper's is a linear layer on relu(pooled); here it is that of the model family, so that this teacher
            and those it is compared with differ only in training.
        - content(x) averages over all tokens, `[CLS]` included; h(x), which the prototypes average, leaves `[CLS]` out.
    """

    cache_name = "Meta"

    def __init__(self, config: Any, context: MethodContext, seen: list[int]) -> None:
        super().__init__(config, context, seen)
        settings: Any = self.roles["student"].config
        count = len(context.task.domains)
        with seeded_init(context.seed, "domain branch"):
            self.branch = DomainClassifier(settings.hidden_size, count, config.dropout, initializer_range(settings))
        self.branch.to(context.device)
        self.domains_seen = torch.tensor(seen, device=context.device)

    def trainable(self, role: str) -> Iterable[nn.Module]:
        """Teacher and domain classifier."""
        return [self.roles[role], self.branch]

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """Summed loss of one micro-batch: weighted cross-entropy and domain corruption."""
        assert batch.labels is not None
        inputs, domains, weight = batch.inputs["student"], batch.extras["domain"], batch.extras["transferability"]
        outputs = self.roles["student"](**inputs, output_hidden_states=True)
        vectors = self.branch(mean_pool(outputs.hidden_states[-1], inputs["attention_mask"]), domains)
        stream = rng.stream(self.context.seed, "corruption", batch.phase, batch.step)
        if self.config.corruption is DomainCorruption.permuted:
            targets = domains[to_device(torch.randperm(len(domains), generator=stream), domains.device)]
        else:
            targets = sample_wrong_domains(domains, self.domains_seen, stream)
        hard = cross_entropy(outputs.logits.float(), batch.labels, reduction="none")
        domain = cross_entropy(self.branch.logits(vectors).float(), targets, reduction="none")
        if self.config.corruption is DomainCorruption.permuted:
            loss = (weight * (hard + self.config.domain_weight * domain)).sum()
        else:
            loss = (weight * hard + self.config.domain_weight * domain).sum()
        terms = {"hard": hard.detach().sum(), "domain": domain.detach().sum()}
        return StepOutput(loss, len(batch.ids), terms, {"transferability": weight.sum()})

    def save_extra_modules(self, folder: Path) -> None:
        """Write the domain classifier, with the mean embedding for domains without rows."""
        for domain in set(range(len(self.context.task.domains))) - set(self.seen):
            self.branch.average_unseen(domain, self.seen)
        save_file({name: value.cpu() for name, value in self.branch.state_dict().items()}, folder / FILE)

    @staticmethod
    def load_for_domain(model: nn.Module, folder: Path, domain: int | None, config: Any) -> dict[str, nn.Module]:
        """Domain classifier, as role `domain_branch`."""
        weights = load_file(folder / FILE)
        count, width = weights["embedding.weight"].shape
        branch = DomainClassifier(width, count, config.dropout)
        branch.load_state_dict(weights)
        return {"domain_branch": branch}
