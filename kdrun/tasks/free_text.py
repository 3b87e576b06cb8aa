"""Free text: the model writes an answer of any form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kdrun import registry
from kdrun.config.validation import extraction
from kdrun.tasks.answers import Answers
from kdrun.tasks.base import Outputs
from kdrun.tasks.text_answers import TextTask

if TYPE_CHECKING:
    from kdrun.tasks.class_views import ClassView


class FreeTextTask(TextTask):
    """Task type of free text: a summary, a translation, an answer to a question."""

    synthetic_preset = extraction.EXTRACTION_PRESET
    real_preset = "mini_writer"

    def describe_outputs(self) -> str:
        """The limit of an answer."""
        return f"free text of at most {self.task.answer_tokens} tokens"

    def majority_baseline(self, labels: np.ndarray, domains: np.ndarray | None) -> dict[str, float | None]:
        """The metrics of the most frequent answer, the first one in alphabetical order of several."""
        gold = labels.tolist()
        counts = Counter(gold)
        answer = min(counts, key=lambda text: (-counts[text], text))
        return {name: registry.get("metric", name).target([answer] * len(gold), gold) for name in self.task.metrics}

    def answers(self, outputs: Outputs, texts: Sequence[str]) -> Answers:
        """`prediction` as decoded, and `cut` for an unfinished answer."""
        return Answers(
            {"prediction": [answer.text for answer in outputs], "cut": [not answer.finished for answer in outputs]}
        )

    def probability_records(self, logits: np.ndarray) -> list[dict[str, float]]:
        """Not defined: a free text has no class."""
        raise TypeError("free text has no classes")

    def class_view(self, tokenizer: Any, decoder_start_id: int | None) -> ClassView:
        """Not defined: a free text has no class; the config of a method that needs one is refused."""
        raise TypeError("free text has no classes")

    def matches_model(self, config: Any) -> tuple[bool, str]:
        """Compare the name of the task that the model was trained on."""
        name = getattr(config, "free_text", None)
        return name == self.task.name, f"free text of the task {name}" if name else "none"
