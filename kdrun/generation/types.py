"""Generated text and shared-vocabulary facts, as passed between methods and models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SharedVocabulary:
    """What a method that changes tokens must know of the vocabulary that its models share.

    Attributes:
        mask_id: id of the mask token, where a model has one: T5 does not.
        special_ids: ids that are never changed and never made, [k], on the models' device.
    """

    mask_id: int | None
    special_ids: Tensor


@dataclass(frozen=True)
class GeneratedText:
    """Text that a method made of a batch, x′.

    Attributes:
        ids: as the generator wrote it, [batch, length].
        present: which of these tokens are not padding, [batch, length] bool.
        changed: which of them are the generator's, not the source's, [batch, length] bool.
        inputs: x′ as teacher and student read it: the keyword arguments of their models, by role.
        wanted: the class it was written for, [batch]; None where it was written for none.
    """

    ids: Tensor
    present: Tensor
    generated_mask: Tensor
    inputs: dict[str, dict[str, Tensor]]
    target_class: Tensor | None = None
