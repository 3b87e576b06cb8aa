"""Entity extraction: the model generates the entities as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kdrun import losses, registry
from kdrun.config.validation import extraction
from kdrun.data import entities
from kdrun.data.transfer import to_device
from kdrun.tasks import agreement
from kdrun.tasks.answers import Answers, by_name
from kdrun.tasks.base import Outputs, TaskType, softmax

if TYPE_CHECKING:
    from torch import Tensor

    from kdrun.data.tokenization import TokenizedSplit
    from kdrun.models.bundle import ModelBundle
    from kdrun.tasks.class_views import ClassView
    from kdrun.tasks.predictor import Predictor


@dataclass(frozen=True)
class GeneratedAnswer:
    """A generated answer, and whether it ended within `task.answer_tokens`."""

    text: str
    finished: bool


class ExtractionTask(TaskType):
    """Task type of entity extraction: the answer is a text in the format of `kdrun.data.entities`.

    Losses are means over the tokens of an answer, so all rows have the same weight. Metrics compare the greedily
    decoded answers with the gold ones; the likelihood of the gold answers is not a metric.
    """

    synthetic_preset = extraction.EXTRACTION_PRESET
    real_preset = "mini_writer"
    generates_text = True
    empty_values = {"cut": False}  # noqa: RUF012  the same for all

    def describe_outputs(self) -> str:
        """The types of entities."""
        return f"entities by type ({', '.join(self.task.entities)})"

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
        """The task's metrics of entities."""
        answers, gold = [answer.text for answer in outputs], labels.tolist()
        return {name: registry.get("metric", name).target(answers, gold) for name in self.task.metrics}

    def majority_baseline(self, labels: np.ndarray, domains: np.ndarray | None) -> dict[str, float | None]:
        """Zero: a constant answer finds entities only by chance."""
        return dict.fromkeys(self.task.metrics, 0.0)

    def agreement(self, student: Outputs, teacher: Outputs) -> dict[str, float | None]:
        """The share of equal answers."""
        return agreement.of_texts([answer.text for answer in student], [answer.text for answer in teacher])

    def answers(self, outputs: Outputs, texts: Sequence[str]) -> Answers:
        """`prediction` in the spelling of the sentence, `written` as decoded, and `cut` for an unfinished answer."""
        written = [answer.text for answer in outputs]
        spelled = [entities.restore_spelling(text, answer) for text, answer in zip(texts, written, strict=True)]
        return Answers({"prediction": spelled, "written": written, "cut": [not answer.finished for answer in outputs]})

    def prediction_records(self, outputs: Outputs, texts: Sequence[str]) -> list[dict[str, Any]]:
        """`prediction`, `written`, and `cut` where it is true."""
        records = super().prediction_records(outputs, texts)
        return [record if record["cut"] else {k: v for k, v in record.items() if k != "cut"} for record in records]

    def probability_records(self, logits: np.ndarray) -> list[dict[str, float]]:
        """The softmax over the first words of an answer, by name."""
        return by_name(softmax(logits), self.task.classes)

    def label_name(self, label: Any) -> str:
        """The answer's text."""
        return str(label)

    def label_value(self, name: Any) -> Any:
        """The answer's text."""
        return str(name)

    def class_view(self, tokenizer: Any, decoder_start_id: int | None) -> ClassView:
        """View by the first word of an answer."""
        from kdrun.tasks.class_views import FirstTokenClassView

        assert decoder_start_id is not None, "a text-generating model has a decoder"
        return FirstTokenClassView(self.task, tokenizer, decoder_start_id)

    def matches_model(self, config: Any) -> tuple[bool, str]:
        """Compare the types of entities that the model was trained on."""
        names = list(getattr(config, "entities", None) or [])
        return names == list(self.task.entities), ", ".join(names) or "none"

    def why_undefined(self, metric: str) -> str:
        """Reason for an undefined metric."""
        return "undefined: no entity was predicted, so there is no precision"

    def notes_on(self, outputs: Outputs, texts: Sequence[str]) -> list[str]:
        """Number of truncated answers, and of entities with words that are missing from their sentence."""
        num_truncated = sum(not answer.finished for answer in outputs)
        num_unsupported = sum(
            entities.count_unsupported(text, answer.text) for text, answer in zip(texts, outputs, strict=True)
        )
        num_predicted = sum(len(entities.parse(answer.text)) for answer in outputs)
        notes = []
        if num_truncated:
            limit = self.task.answer_tokens
            notes.append(
                f"{num_truncated} of {len(outputs)} answers did not end within task.answer_tokens={limit} and were "
                "truncated"
            )
        if num_unsupported:
            notes.append(
                f"{num_unsupported} of {num_predicted} predicted entities have words that are not in the sentence"
            )
        return notes
