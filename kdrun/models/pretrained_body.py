"""Pretrained language-model weights and their transfer into a task's model."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor
from transformers import PreTrainedModel

from kdrun.errors import ModelError
from kdrun.models.parameters import head_prefix


@dataclass(frozen=True)
class PretrainedBody:
    """The weights and the loss of a pretrained language model.

    Attributes:
        weights: by name.
        corpus: name of the text it was trained on.
        first_loss: mean loss of the first tenth of the steps, in nats.
        last_loss: the same for the last tenth.
        steps: optimizer steps.
        unit: unit of the loss, in words, e.g. `per masked token`.
        source: what was learned from a teacher, in words; empty without one.
    """

    weights: dict[str, Tensor] = field(repr=False)
    corpus: str
    first_loss: float
    last_loss: float
    steps: int
    unit: str
    source: str = ""

    @property
    def summary(self) -> str:
        """Steps and losses in words."""
        source = f"{self.source}, " if self.source else ""
        return f"{source}{self.steps} steps, loss {self.first_loss:.3g} to {self.last_loss:.3g} nats {self.unit}"


def copy_body(source: PretrainedBody, model: PreTrainedModel) -> None:
    """Copy pretrained weights into a model: all of them into a generator, the body into a classifier.

    The weights of a body alone have names without the body's prefix.

    Raises:
        ModelError: the model has weights in its body that the pretrained one lacks.
    """
    body, weights = head_prefix(model), model.state_dict()
    named = source.weights | {f"{body}{name}": tensor for name, tensor in source.weights.items()}
    common = {name: tensor for name, tensor in named.items() if name in weights}
    # only a classifier has the pooler; weights tied to another are saved once
    lacking = [n for n in weights if n.startswith(body) and n not in common and not n.startswith(f"{body}pooler.")]
    if lacking:
        raise ModelError(f"the model pretrained on {source.corpus} lacks {lacking[0]}, which this one has in its body")
    model.load_state_dict(common, strict=False)
