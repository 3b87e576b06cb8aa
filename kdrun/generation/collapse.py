"""Detect generator collapse and keep the best generator."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kdrun.config.fields import setting

if TYPE_CHECKING:
    from torch import Tensor, nn

FEWEST_TEXTS = 64
"""Texts below which nothing is judged: a handful can be of one class by chance."""


@dataclass
class CollapseLimits:
    """What counts as a collapse of the generator; shares of the texts of a student turn."""

    largest_class: float = setting(0.98, "share of one class, by the teacher, above which text is of one class", gt=0)
    fewest_distinct: float = setting(0.05, "share of different texts below which it is one text", ge=0, le=1)
    most_empty: float = setting(0.5, "share of texts without a word above which it is no text", ge=0, le=1)


@dataclass(frozen=True)
class CollapseReport:
    """What a stretch of made text came to.

    Attributes:
        agreement: share of texts that the teacher finds of the class they were written for: the mean over the wanted
            classes, so that text of one class alone gets 1 / classes, however often that class was wanted.
        collapse: what is wrong with it, in words; empty where nothing is.
    """

    agreement: float
    collapse: str = ""


class CollapseMonitor:
    """Gathers what is made between two looks at it.

    Args:
        limits: what counts as a collapse.
        labels: names of the classes.
    """

    def __init__(self, limits: CollapseLimits, labels: list[str]) -> None:
        self.limits, self.labels = limits, labels
        self._forget()

    def _forget(self) -> None:
        size = len(self.labels)
        self._pairs = np.zeros((size, size), np.int64)
        self._source = np.zeros(size, np.int64)
        self._empty = 0
        self._texts: set[str] = set()

    def state(self) -> dict[str, Any]:
        """What was seen since the last verdict, as JSON has it."""
        return {
            "pairs": self._pairs.tolist(),
            "source": self._source.tolist(),
            "empty": self._empty,
            "texts": sorted(self._texts),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        self._pairs, self._source = np.array(state["pairs"], np.int64), np.array(state["source"], np.int64)
        self._empty, self._texts = state["empty"], set(state["texts"])

    @property
    def seen(self) -> int:
        """Texts since the last verdict."""
        return int(self._pairs.sum())

    def update(self, wanted: Tensor, made: Tensor, source: Tensor, ids: Tensor, changed: Tensor) -> None:
        """Take in a batch.

        Args:
            wanted: the class each text was written for, [batch].
            made: the teacher's class of it, [batch].
            source: the teacher's class of the text it was made of, [batch].
            ids: the text's tokens, [batch, length].
            changed: which of them the generator made, [batch, length].
        """
        np.add.at(self._pairs, (wanted.cpu().numpy(), made.cpu().numpy()), 1)
        np.add.at(self._source, source.cpu().numpy(), 1)
        counts = changed.sum(dim=1)
        self._empty += int((counts == 0).sum())
        words = np.split(ids[changed].cpu().numpy(), counts.cumsum(dim=0).cpu().numpy()[:-1])
        self._texts |= {hashlib.blake2b(own.tobytes(), digest_size=8).hexdigest() for own in words}

    def assess(self) -> CollapseReport | None:
        """What was seen since the last verdict; None where that is too little to judge by."""
        total = self.seen
        if total < FEWEST_TEXTS:
            return None
        by_wanted = self._pairs.sum(axis=1)
        asked = by_wanted > 0
        agreement = float((self._pairs.diagonal()[asked] / by_wanted[asked]).mean())
        found = CollapseReport(agreement, "; ".join(self._complaints(total)))
        self._forget()
        return found

    def _complaints(self, total: int) -> list[str]:
        limits, complaints = self.limits, []
        shares, source = self._pairs.sum(axis=0) / total, self._source / total
        top = int(shares.argmax())
        # a corpus that is itself of one class to the teacher is not the generator's doing
        if shares[top] > max(limits.largest_class, source[top]):
            complaints.append(
                f"the teacher calls {shares[top]:.1%} of its last {total} texts {self.labels[top]} "
                f"(of the corpus {source[top]:.1%})"
            )
        distinct = len(self._texts) / total
        if distinct < limits.fewest_distinct:
            complaints.append(f"of its last {total} texts {len(self._texts)} are different ({distinct:.1%})")
        if self._empty / total > limits.most_empty:
            complaints.append(f"{self._empty / total:.1%} of its last {total} texts have no word")
        return complaints


class CollapseGuard:
    """Keeps the best generator there was, and says when one has collapsed.

    The best is the last one with the highest agreement (`Verdict`), so far as any was measured; before that, the one
    that training began with.

    Args:
        model: the generator.
        limits: what counts as a collapse.
        labels: names of the classes.
    """

    def __init__(self, model: nn.Module, limits: CollapseLimits, labels: list[str]) -> None:
        self.model, self.monitor = model, CollapseMonitor(limits, labels)
        self.reason = ""
        self._best = _weights(model)
        self._agreement: float | None = None

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold: the best weights, as `best/<name>`, and what the next verdict goes by."""
        best = {f"best/{name}": value for name, value in self._best.items()}
        return {"watch": self.monitor.state(), "best_agreement": self._agreement, "why": self.reason, **best}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        self.monitor.load_state(state["watch"])
        self.reason, self._agreement = state["why"], state["best_agreement"]
        self._best = {name: state[f"best/{name}"].to(value.device) for name, value in self._best.items()}

    def check(self) -> str:
        """Judge the text seen since the last time, which the model must have written as it is now.

        Returns:
            What is wrong with it; empty while nothing is. A collapse is for good: the best model is put back then.
        """
        verdict = None if self.reason else self.monitor.assess()
        if verdict is None:
            return self.reason
        if verdict.collapse:
            good = "as it came" if self._agreement is None else f"{self._agreement:.1%} of its text of the wanted class"
            self.reason = (
                f"its text has collapsed: {verdict.collapse}; the last good generator ({good}) writes from here on. "
                "A lower method.generator_optim.lr, or a higher method.reference_kl_weight or "
                "method.class_balance_weight, may prevent it"
            )
            self.restore_best()
        elif self._agreement is None or verdict.agreement >= self._agreement:
            self._best, self._agreement = _weights(self.model), verdict.agreement
        return self.reason

    def restore_best(self) -> None:
        """Give the model the weights of the best there was."""
        self.model.load_state_dict(self._best)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
