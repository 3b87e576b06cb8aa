"""Entity extraction: the model writes the entities as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kdrun import losses, registry
from kdrun.config.validation import extraction
from kdrun.data import entities
from kdrun.tasks.base import Outputs, TaskType

if TYPE_CHECKING:
    from torch import Tensor

    from kdrun.data.tokenization import TokenizedSplit
    from kdrun.models.bundle import ModelBundle
    from kdrun.tasks.class_views import ClassView
    from kdrun.tasks.predictor import Predictor


@dataclass(frozen=True)
class GeneratedAnswer:
    """An answer, and whether its end was reached before `task.answer_tokens`."""

    text: str
    finished: bool


class ExtractionTask(TaskType):
    """Entities with their types, as `kdrun.data.entities` writes them.

    Losses are means over the tokens of an answer, so that rows weigh alike; the answers that a model is scored by are
    the ones it decodes greedily, not the likelihood of the gold ones.
    """

    synthetic_preset = extraction.EXTRACTION_PRESET
    real_preset = "mini_writer"
    generates_text = True

    def describe_outputs(self) -> str:
        """The types of entities."""
        return f"entities by type ({', '.join(self.task.entities)})"

    def loss_name(self, name: str | None) -> str:
        """KL over the vocabulary."""
        return losses.default_loss(name, is_regression=False)

    def soft_loss(self, name: str | None) -> Callable[[Tensor, Tensor, float], Tensor]:
        """The registered loss at every token, a mean over these."""
        return losses.per_token(registry.get("loss", self.loss_name(name)).target)

    def hard_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy at every token, a mean over these."""
        return losses.token_cross_entropy(logits, labels)

    def outputs(self, predictor: Predictor, built: ModelBundle, tokens: TokenizedSplit, limit: int | None) -> Outputs:
        """What the model writes, greedily, `Written` objects [rows]; rows beyond the limit say nothing."""
        from kdrun.generation.greedy import greedy_decode

        out = np.full(tokens.num_rows, GeneratedAnswer("", True), dtype=object)
        device = predictor.accelerator.device
        with predictor.inference_mode(built.model):
            for rows in predictor.batches(tokens)[:limit]:
                batch = {name: values.to(device) for name, values in tokens.batch(rows).items()}
                ids, is_whole = greedy_decode(built.model, batch, self.task.answer_tokens)
                texts = built.tokenizer.batch_decode(ids, skip_special_tokens=True)
                for row, text, whole in zip(rows, texts, is_whole.tolist(), strict=True):
                    out[row] = GeneratedAnswer(text, whole)
        return out

    def score(self, outputs: Outputs, labels: np.ndarray, domains: np.ndarray | None) -> dict[str, float | None]:
        """Micro F1, precision and recall of entities."""
        found = entities.score(labels.tolist(), [written.text for written in outputs])
        return {name: found[name] for name in self.task.metrics}

    def majority_baseline(self, labels: np.ndarray, domains: np.ndarray | None) -> dict[str, float | None]:
        """Zero: no answer that reads no text finds an entity, but by naming one that most sentences happen to have."""
        return dict.fromkeys(self.task.metrics, 0.0)

    def prediction_records(self, outputs: Outputs, texts: Sequence[str]) -> list[dict[str, Any]]:
        """`prediction`, in the spelling of the sentence; `written`, to the letter; `cut` where it has no end."""
        made = []
        for text, said in zip(texts, outputs, strict=True):
            row = {"prediction": entities.restore_spelling(text, said.text), "written": said.text}
            made.append(row if said.finished else row | {"cut": True})
        return made

    def label_name(self, label: Any) -> str | float:
        """The text itself."""
        return str(label)

    def class_view(self, tokenizer: Any, decoder_start_id: int | None) -> ClassView:
        """By the first word of an answer; the whole of it is learnt."""
        from kdrun.tasks.class_views import FirstTokenClassView

        assert decoder_start_id is not None, "a model that writes text has a decoder"
        return FirstTokenClassView(self.task, tokenizer, decoder_start_id)

    def matches_model(self, config: Any) -> tuple[bool, str]:
        """The types of entities that the model was told of."""
        found = list(getattr(config, "entities", None) or [])
        return found == list(self.task.entities), ", ".join(found) or "none"

    def why_undefined(self) -> str:
        """Why a metric may have no value."""
        return "undefined: no entity was said, so there is no share of right ones"

    def notes_on(self, outputs: Outputs, texts: Sequence[str]) -> list[str]:
        """How many answers were cut, and how many entities have words that their text does not have."""
        cut = sum(not written.finished for written in outputs)
        made_up = sum(
            entities.count_unsupported(text, written.text) for text, written in zip(texts, outputs, strict=True)
        )
        said = sum(len(entities.parse(written.text)) for written in outputs)
        found = []
        if cut:
            limit = self.task.answer_tokens
            found.append(f"{cut} of {len(outputs)} answers did not end within task.answer_tokens={limit} and were cut")
        if made_up:
            found.append(f"{made_up} of {said} entities it named have words that their sentence does not have")
        return found
