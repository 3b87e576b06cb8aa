"""Tasks that ask for a text naming entities: a model writes it, token by token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kdrun import entities, losses, registry
from kdrun.data import extraction
from kdrun.kinds.base import Kind, Outputs

if TYPE_CHECKING:
    from torch import Tensor

    from kdrun.data.tokens import TokenTable
    from kdrun.evaluation import Evaluator
    from kdrun.kinds.answering import Answering
    from kdrun.method import Parts
    from kdrun.models.built import Built


@dataclass(frozen=True)
class Written:
    """An answer, and whether its end was reached before `task.answer_tokens`."""

    text: str
    is_whole: bool


class Extraction(Kind):
    """Entities with their types, as `kdrun.entities` writes them.

    Losses are means over the tokens of an answer, so that rows weigh alike; the answers that a model is scored by are
    the ones it decodes greedily, not the likelihood of the gold ones.
    """

    synthetic_preset = extraction.PRESET
    real_preset = "mini_writer"
    writes = True

    def asked(self) -> str:
        """The types of entities."""
        return f"entities by type ({', '.join(self.task.entities)})"

    def loss_name(self, name: str | None) -> str:
        """KL over the vocabulary."""
        return losses.default_loss(name, is_regression=False)

    def soft_loss(self, name: str | None) -> Callable[[Tensor, Tensor, float], Tensor]:
        """The registered loss at every token, a mean over these."""
        return losses.over_tokens(registry.get("loss", self.loss_name(name)).target)

    def hard_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy at every token, a mean over these."""
        return losses.token_cross_entropy(logits, labels)

    def outputs(self, evaluator: Evaluator, built: Built, tokens: TokenTable, limit: int | None) -> Outputs:
        """What the model writes, greedily, `Written` objects [rows]; rows beyond the limit say nothing."""
        from kdrun.kinds.decoding import greedy

        out = np.full(tokens.num_rows, Written("", True), dtype=object)
        device = evaluator.accelerator.device
        with evaluator.passing(built.model):
            for rows in evaluator.batches(tokens)[:limit]:
                batch = {name: values.to(device) for name, values in tokens.batch(rows).items()}
                ids, is_whole = greedy(built.model, batch, self.task.answer_tokens)
                texts = built.tokenizer.batch_decode(ids, skip_special_tokens=True)
                for row, text, whole in zip(rows, texts, is_whole.tolist(), strict=True):
                    out[row] = Written(text, whole)
        return out

    def score(self, outputs: Outputs, labels: np.ndarray, domains: np.ndarray | None) -> dict[str, float | None]:
        """Micro F1, precision and recall of entities."""
        found = entities.score(labels.tolist(), [written.text for written in outputs])
        return {name: found[name] for name in self.task.metrics}

    def guess(self, labels: np.ndarray, domains: np.ndarray | None) -> dict[str, float | None]:
        """Zero: no answer that reads no text finds an entity, but by naming one that most sentences happen to have."""
        return dict.fromkeys(self.task.metrics, 0.0)

    def answers(self, outputs: Outputs, texts: Sequence[str]) -> list[dict[str, Any]]:
        """`prediction`, in the spelling of the sentence; `written`, to the letter; `cut` where it has no end."""
        made = []
        for text, said in zip(texts, outputs, strict=True):
            row = {"prediction": entities.spelt(text, said.text), "written": said.text}
            made.append(row if said.is_whole else row | {"cut": True})
        return made

    def gold(self, label: Any) -> str | float:
        """The text itself."""
        return str(label)

    def answering(self, parts: Parts) -> Answering:
        """By the first word of an answer; the whole of it is learnt."""
        from kdrun.kinds.answering import FirstWords

        config: Any = parts.roles["teacher"].config
        return FirstWords(self.task, parts.readers["teacher"].tokenizer, config.decoder_start_token_id)

    def fits(self, config: Any) -> tuple[bool, str]:
        """The types of entities that the model was told of."""
        found = list(getattr(config, "entities", None) or [])
        return found == list(self.task.entities), ", ".join(found) or "none"

    def undefined(self) -> str:
        """Why a metric may have no value."""
        return "undefined: no entity was said, so there is no share of right ones"

    def remarks(self, outputs: Outputs, texts: Sequence[str]) -> list[str]:
        """How many answers were cut, and how many entities have words that their text does not have."""
        cut = sum(not written.is_whole for written in outputs)
        made_up = sum(entities.invented(text, written.text) for text, written in zip(texts, outputs, strict=True))
        said = sum(len(entities.read(written.text)) for written in outputs)
        found = []
        if cut:
            limit = self.task.answer_tokens
            found.append(f"{cut} of {len(outputs)} answers did not end within task.answer_tokens={limit} and were cut")
        if made_up:
            found.append(f"{made_up} of {said} entities it named have words that their sentence does not have")
        return found
