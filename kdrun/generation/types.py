"""Generated text and shared-vocabulary facts, as passed between methods and models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SharedVocabulary:
    """Special ids of the vocabulary that the models of a run share, for methods that change tokens.

    Attributes:
        mask_id: id of the mask token; None for models without one, such as T5.
        special_ids: ids that are never changed and never generated, [k], on the models' device.
    """

    mask_id: int | None
    special_ids: Tensor


@dataclass(frozen=True)
class GeneratedText:
    """Text x′ that a method generated from a batch.

    Attributes:
        ids: tokens in the generator's vocabulary, [batch, length].
        present: tokens that are not padding, [batch, length] bool.
        generated_mask: tokens from the generator instead of the source, [batch, length] bool.
        inputs: x′ for teacher and student: keyword arguments of their models, by role.
        target_class: class that each text was generated for, [batch]; None for methods without target classes.
    """

    ids: Tensor
    present: Tensor
    generated_mask: Tensor
    inputs: dict[str, dict[str, Tensor]]
    target_class: Tensor | None = None
