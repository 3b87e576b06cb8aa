"""Detect generator collapse and keep the best generator."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kdrun import ranks
from kdrun.config.fields import setting

if TYPE_CHECKING:
    from torch import Tensor, nn

MIN_TEXTS = 64
"""Number of texts needed for a report: a few texts can be of one class by chance."""


@dataclass
class CollapseLimits:
    """Limits beyond which a generator has collapsed, as shares of the texts of a student turn."""

    largest_class: float = setting(
        0.98, "share of the teacher's most frequent class above which the text is of one class", gt=0
    )
    fewest_distinct: float = setting(
        0.05, "share of different texts below which the generator repeats itself", ge=0, le=1
    )
    most_empty: float = setting(0.5, "share of texts without a token above which the text is empty", ge=0, le=1)


@dataclass(frozen=True)
class CollapseReport:
    """Agreement and collapse of the text generated since the previous report.

    Attributes:
        agreement: share of texts whose teacher class is their target class, averaged over the target classes. Text of
            a single class gets 1 / classes, however often that class was the target.
        collapse: description of the problems; empty if there are none.
    """

    agreement: float
    collapse: str = ""


class CollapseMonitor:
    """Statistics of the text generated between two reports.

    Args:
        limits: beyond which the generator has collapsed.
        labels: names of the classes.
    """

    def __init__(self, limits: CollapseLimits, labels: list[str]) -> None:
        self.limits, self.labels = limits, labels
        self._reset()

    def _reset(self) -> None:
        size = len(self.labels)
        self._pairs = np.zeros((size, size), np.int64)
        self._source = np.zeros(size, np.int64)
        self._empty = 0
        self._texts: set[str] = set()

    def state(self) -> dict[str, Any]:
        """Statistics since the last report, as JSON data."""
        pairs, source, empty, texts = self._of_all_processes()
        return {"pairs": pairs.tolist(), "source": source.tolist(), "empty": empty, "texts": sorted(texts)}

    def _of_all_processes(self) -> tuple[np.ndarray, np.ndarray, int, set[str]]:
        """Statistics of the texts of all processes; each process adds only its own."""
        parts = ranks.gather((self._pairs, self._source, self._empty, self._texts))
        pairs, source, empty, texts = zip(*parts, strict=True)
        return np.sum(pairs, axis=0), np.sum(source, axis=0), sum(empty), set().union(*texts)

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned; the first process continues the statistics of all."""
        if not ranks.is_first():
            self._reset()
            return
        self._pairs, self._source = np.array(state["pairs"], np.int64), np.array(state["source"], np.int64)
        self._empty, self._texts = state["empty"], set(state["texts"])

    @property
    def num_texts(self) -> int:
        """Number of texts of all processes since the last report."""
        return sum(ranks.gather(int(self._pairs.sum())))

    def update(
        self, target_classes: Tensor, predicted_classes: Tensor, source_classes: Tensor, ids: Tensor, changed: Tensor
    ) -> None:
        """Add a batch.

        Args:
            target_classes: class that each text was generated for, [batch].
            predicted_classes: the teacher's class of the text, [batch].
            source_classes: the teacher's class of its source text, [batch].
            ids: tokens of the text, [batch, length].
            changed: tokens from the generator, [batch, length] bool.
        """
        np.add.at(self._pairs, (target_classes.cpu().numpy(), predicted_classes.cpu().numpy()), 1)
        np.add.at(self._source, source_classes.cpu().numpy(), 1)
        counts = changed.sum(dim=1)
        self._empty += int((counts == 0).sum())
        texts = np.split(ids[changed].cpu().numpy(), counts.cumsum(dim=0).cpu().numpy()[:-1])
        self._texts |= {hashlib.blake2b(tokens.tobytes(), digest_size=8).hexdigest() for tokens in texts}

    def assess(self) -> CollapseReport | None:
        """Report on the text since the last report; None if there are fewer than `MIN_TEXTS` texts."""
        total = self.num_texts
        if total < MIN_TEXTS:
            return None
        self._pairs, self._source, self._empty, self._texts = self._of_all_processes()
        by_target = self._pairs.sum(axis=1)
        requested = by_target > 0
        agreement = float((self._pairs.diagonal()[requested] / by_target[requested]).mean())
        report = CollapseReport(agreement, "; ".join(self._problems(total)))
        self._reset()
        return report

    def _problems(self, total: int) -> list[str]:
        limits, problems = self.limits, []
        shares, source = self._pairs.sum(axis=0) / total, self._source / total
        top = int(shares.argmax())
        # a corpus of one class, by the teacher, is no collapse of the generator
        if shares[top] > max(limits.largest_class, source[top]):
            problems.append(
                f"the teacher classifies {shares[top]:.1%} of its last {total} texts as {self.labels[top]} "
                f"({source[top]:.1%} of the corpus)"
            )
        distinct = len(self._texts) / total
        if distinct < limits.fewest_distinct:
            problems.append(f"only {len(self._texts)} of its last {total} texts are different ({distinct:.1%})")
        if self._empty / total > limits.most_empty:
            problems.append(f"{self._empty / total:.1%} of its last {total} texts are empty")
        return problems


class CollapseGuard:
    """Detector of a collapse that keeps the weights of the best generator.

    The best generator is the most recent one with the highest agreement (`CollapseReport`). Before the first report it
    is the one that training started from.

    Args:
        model: the generator.
        limits: beyond which the generator has collapsed.
        labels: names of the classes.

    Attributes:
        reason: description of the collapse; empty while there is none.
    """

    def __init__(self, model: nn.Module, limits: CollapseLimits, labels: list[str]) -> None:
        self.model, self.monitor = model, CollapseMonitor(limits, labels)
        self.reason = ""
        self._best = _weights(model)
        self._agreement: float | None = None

    def state(self) -> dict[str, Any]:
        """State for a checkpoint: the best weights, as `best/<name>`, and the statistics for the next report."""
        best = {f"best/{name}": value for name, value in self._best.items()}
        return {"watch": self.monitor.state(), "best_agreement": self._agreement, "why": self.reason, **best}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self.monitor.load_state(state["watch"])
        self.reason, self._agreement = state["why"], state["best_agreement"]
        self._best = {name: state[f"best/{name}"].to(value.device) for name, value in self._best.items()}

    def check(self) -> str:
        """Assess the text since the last check, which the model must have generated with its current weights.

        Returns:
            Description of a collapse; empty while there is none. A collapse is permanent: it restores the best model.
        """
        report = None if self.reason else self.monitor.assess()
        if report is None:
            return self.reason
        if report.collapse:
            best = "initial weights" if self._agreement is None else f"agreement {self._agreement:.1%}"
            self.reason = (
                f"its text has collapsed: {report.collapse}; the last good generator ({best}) is used from now on. "
                "A lower method.generator_optim.lr, or a higher method.reference_kl_weight or "
                "method.class_balance_weight, may prevent it"
            )
            self.restore_best()
        elif self._agreement is None or report.agreement >= self._agreement:
            self._best, self._agreement = _weights(self.model), report.agreement
        return self.reason

    def restore_best(self) -> None:
        """Load the weights of the best generator into the model."""
        self.model.load_state_dict(self._best)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
