"""Entity extraction: the model generates the entities as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kdrun.config.validation import extraction
from kdrun.data import entities
from kdrun.tasks.answers import Answers, by_name
from kdrun.tasks.base import Outputs, softmax
from kdrun.tasks.text_answers import TextTask

if TYPE_CHECKING:
    from kdrun.tasks.class_views import ClassView


class ExtractionTask(TextTask):
    """Task type of entity extraction: the answer is a text in the format of `kdrun.data.entities`."""

    synthetic_preset = extraction.EXTRACTION_PRESET
    real_preset = "mini_writer"

    def describe_outputs(self) -> str:
        """The types of entities."""
        return f"entities by type ({', '.join(self.task.entities)})"

    def majority_baseline(self, labels: np.ndarray, domains: np.ndarray | None) -> dict[str, float | None]:
        """Zero: a constant answer finds entities only by chance."""
        return dict.fromkeys(self.task.metrics, 0.0)

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
        num_unsupported = sum(
            entities.count_unsupported(text, answer.text) for text, answer in zip(texts, outputs, strict=True)
        )
        num_predicted = sum(len(entities.parse(answer.text)) for answer in outputs)
        notes = super().notes_on(outputs, texts)
        if num_unsupported:
            notes.append(
                f"{num_unsupported} of {num_predicted} predicted entities have words that are not in the sentence"
            )
        return notes
