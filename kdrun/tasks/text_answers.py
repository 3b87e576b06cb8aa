"""Base of task types whose answer is a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kdrun import losses, registry
from kdrun.data.transfer import to_device
from kdrun.tasks import agreement
from kdrun.tasks.base import Outputs, TaskType

if TYPE_CHECKING:
    from torch import Tensor

    from kdrun.data.tokenization import TokenizedSplit
    from kdrun.models.bundle import ModelBundle
    from kdrun.tasks.predictor import Predictor


@dataclass(frozen=True)
class GeneratedAnswer:
    """A generated answer, and whether it ended within `task.answer_tokens`."""

    text: str
    finished: bool


class TextTask(TaskType):
    """Base of task types whose answer is a text.

    Losses are means over the tokens of an answer, so all rows have the same weight. Metrics compare the greedily
    decoded answers with the gold ones; the likelihood of the gold answers is not a metric.
    """

    generates_text = True
    empty_values = {"cut": False}  # noqa: RUF012  the same for all

    def loss_name(self, name: str | None) -> str:
        """KL over the vocabulary."""
        return losses.default_loss(name, is_regression=False)

    def soft_loss(self, name: str | None, **settings: float) -> Callable[[Tensor, Tensor, float], Tensor]:
        """The registered loss at every token, averaged over the tokens of an answer."""
        return losses.per_token(super().soft_loss(name, **settings))

    def hard_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy at every token, averaged over the tokens of an answer."""
        return losses.token_cross_entropy(logits, labels)

    def outputs(self, predictor: Predictor, bundle: ModelBundle, tokens: TokenizedSplit, limit: int | None) -> Outputs:
        """Greedily decoded answers, `GeneratedAnswer` objects [rows]; empty for rows beyond the limit."""
        from kdrun.generation.decoding import greedy_decode

        out = np.full(tokens.num_rows, GeneratedAnswer("", True), dtype=object)
        device = predictor.accelerator.device
        with predictor.inference_mode(bundle.model):
            for rows in predictor.batches(tokens, "writing answers", limit):
                batch = {name: to_device(values, device) for name, values in tokens.batch(rows).items()}
                ids, finished = greedy_decode(bundle.model, batch, self.task.answer_tokens)
                texts = bundle.tokenizer.batch_decode(ids, skip_special_tokens=True)
                for row, text, is_finished in zip(rows, texts, finished.tolist(), strict=True):
                    out[row] = GeneratedAnswer(text, is_finished)
        return predictor.collect(out, tokens, limit)

    def score(self, outputs: Outputs, labels: np.ndarray, domains: np.ndarray | None) -> dict[str, float | None]:
        """The task's metrics of the answers."""
        answers, gold = [answer.text for answer in outputs], labels.tolist()
        return {name: registry.get("metric", name).target(answers, gold) for name in self.task.metrics}

    def agreement(self, student: Outputs, teacher: Outputs) -> dict[str, float | None]:
        """The share of equal answers."""
        return agreement.of_texts([answer.text for answer in student], [answer.text for answer in teacher])

    def label_name(self, label: Any) -> str:
        """The answer's text."""
        return str(label)

    def label_value(self, name: Any) -> Any:
        """The answer's text."""
        return str(name)

    def notes_on(self, outputs: Outputs, texts: Sequence[str]) -> list[str]:
        """Number of truncated answers."""
        num_truncated = sum(not answer.finished for answer in outputs)
        if not num_truncated:
            return []
        return [
            f"{num_truncated} of {len(outputs)} answers did not end within task.answer_tokens="
            f"{self.task.answer_tokens} and were truncated"
        ]
