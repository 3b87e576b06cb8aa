"""Generated text with the teacher's answers, and the choice among several candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kdrun.generation.types import GeneratedText
from kdrun.lazy import lazy_module

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


@dataclass(frozen=True)
class LabeledText:
    """Generated text x′ with the teacher's answers.

    Attributes:
        generated: x′.
        inputs: arguments of the student for x′.
        source_logits: of the teacher on the rows that x′ is generated from, like `Batch.teacher_logits`.
        teacher_logits: of the teacher on x′.
        confident: rows that the student learns from, [batch] bool; None for all.
    """

    generated: GeneratedText
    inputs: dict[str, Tensor]
    source_logits: Tensor
    teacher_logits: Tensor
    confident: Tensor | None = None

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(self.generated.ids)

    def confident_rows(self) -> tuple[dict[str, Tensor], Tensor]:
        """Arguments of the student and the teacher's logits for the rows that the student learns from."""
        rows = self.confident
        if rows is None:
            return self.inputs, self.teacher_logits
        return {name: values[rows] for name, values in self.inputs.items()}, self.teacher_logits[rows]


def hardest(texts: Sequence[LabeledText], divergences: Sequence[Tensor]) -> LabeledText:
    """Per row the text with the largest divergence, among those that the teacher is confident of if there are any.

    Args:
        texts: candidates for the same rows, with inputs of the same shapes.
        divergences: of teacher and student on each, [batch].
    """
    first, values = texts[0], torch.stack(list(divergences))
    confident = [text.confident for text in texts if text.confident is not None]
    if confident:
        values = values.masked_fill(~torch.stack(confident), -torch.inf)
    choice, rows = values.argmax(dim=0), torch.arange(first.num_rows, device=values.device)

    def chosen(candidates: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(candidates))[choice, rows]

    generated = replace(
        first.generated,
        ids=chosen([text.generated.ids for text in texts]),
        generated_mask=chosen([text.generated.generated_mask for text in texts]),
        inputs={},
    )
    inputs = {name: chosen([text.inputs[name] for text in texts]) for name in first.inputs}
    logits = chosen([text.teacher_logits for text in texts])
    return LabeledText(generated, inputs, first.source_logits, logits, chosen(confident) if confident else None)
