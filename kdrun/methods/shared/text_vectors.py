"""Hidden states of a text's first token, the vectors of whole texts.

It imports without torch, like `kdrun.methods.base`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kdrun.config.architectures import find_family, titles
from kdrun.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor


def check_first_token(model: Any, role: str) -> None:
    """Check that the state of a text's first token depends on the whole text, as that of `[CLS]` does.

    Args:
        model: a classifier.
        role: of the model, for messages.

    Raises:
        ModelError: the classifier reads another token.
    """
    family = find_family(model.config.model_type)
    if family is not None and family.reads != "masked":
        raise ModelError(
            f"the {role} ({type(model).__name__}) reads the end of a text, and the states of its first token ([CLS]) "
            f"are compared; take a {titles()} model"
        )


def first_token_states(model: Any, inputs: dict[str, Tensor]) -> tuple[list[Tensor], Tensor]:
    """Hidden states of the first token, and logits.

    Args:
        model: a classifier.
        inputs: its keyword arguments.

    Returns:
        L + 1 states of [batch, width], the embeddings first, and the logits, [batch, outputs].
    """
    outputs = model(**inputs, output_hidden_states=True)
    return [states[:, 0] for states in outputs.hidden_states], outputs.logits
