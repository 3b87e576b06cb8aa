"""Adversarial masked text as it is drawn on paper: the reference for exactness and for speed.

Everything is padded to one length; the generator's distribution is sampled over the whole vocabulary at every
position; teacher and student read soft one-hots times their embedding tables, in student turns too; nothing is
kept between steps; gradients are computed for all models, and the optimizer decides whose are used.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from kdrun.generation import soft_tokens

Inputs = Mapping[str, Tensor]


@dataclass
class Textbook:
    """MATE-KD's two losses, and ZSKD's, sums over the batch.

    Attributes:
        roles: generator, teacher, student.
        mask_id: the mask token.
        special_ids: never made, [k].
        temperature: of the Gumbel-softmax.
    """

    roles: Mapping[str, nn.Module]
    mask_id: int
    special_ids: Tensor
    temperature: float = 1.0

    def generator_loss(self, inputs: Inputs, mask: Tensor, noise: Tensor, mlm_weight: float = 0.0) -> Tensor:
        """Minus KL(T(x′) ‖ S(x′)); for ZSKD plus mlm_weight · the mean surprise at a row's masked tokens.

        Args:
            inputs: the text, [batch, length].
            mask: the masked positions, [batch, length].
            noise: Gumbel, [batch, length, vocabulary].
            mlm_weight: β of ZSKD.
        """
        logits = self.said(inputs, mask)
        y = self.one_hots(logits, noise)
        apart = divergence(self.read("student", inputs, mask, y), self.read("teacher", inputs, mask, y))
        if not mlm_weight:
            return -apart
        surprise = cross_entropy(logits.transpose(1, 2), inputs["input_ids"].masked_fill(~mask, -100), reduction="none")
        return mlm_weight * (surprise.sum(dim=1) / mask.sum(dim=1).clamp(min=1)).sum() - apart

    def student_loss(self, inputs: Inputs, labels: Tensor | None, mask: Tensor, noise: Tensor) -> Tensor:
        """A third each of the loss on the labels, KL(T(x) ‖ S(x)) and KL(T(x′) ‖ S(x′)); arguments as above.

        Without labels, as ZSKD's, half of each of the others.
        """
        y = self.one_hots(self.said(inputs, mask), noise)
        clean = {role: self.roles[role](**inputs).logits for role in ("student", "teacher")}
        soft = divergence(clean["student"], clean["teacher"])
        apart = divergence(self.read("student", inputs, mask, y), self.read("teacher", inputs, mask, y))
        if labels is None:
            return (soft + apart) / 2
        return (cross_entropy(clean["student"], labels, reduction="sum") + soft + apart) / 3

    def said(self, inputs: Inputs, mask: Tensor) -> Tensor:
        """The generator's logits at every position of the masked text, [batch, length, vocabulary]."""
        masked = {**inputs, "input_ids": inputs["input_ids"].masked_fill(mask, self.mask_id)}
        return self.roles["generator"](**masked).logits.index_fill(2, self.special_ids, -torch.inf)

    def one_hots(self, logits: Tensor, noise: Tensor) -> Tensor:
        """Straight-through samples of these logits at every position, [batch, length, vocabulary]."""
        soft = ((logits.log_softmax(dim=-1) + noise) / self.temperature).softmax(dim=-1)
        return one_hot(soft.argmax(dim=-1), soft.shape[-1]).to(soft.dtype) - soft.detach() + soft

    def read(self, role: str, inputs: Inputs, mask: Tensor, y: Tensor) -> Tensor:
        """A classifier's logits on x′, [batch, classes]."""
        model = self.roles[role]
        table = model.get_input_embeddings().weight  # pyright: ignore[reportCallIssue]
        m = mask[..., None].to(y.dtype)
        embeddings = (y @ table) * m + table[inputs["input_ids"]] * (1 - m)
        return model(**soft_tokens.soft_inputs(model, inputs, embeddings)).logits


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher ‖ student), summed over the batch."""
    log_t, log_s = teacher.log_softmax(dim=-1), student.log_softmax(dim=-1)
    return (log_t.exp() * (log_t - log_s)).sum()


def padded(inputs: Inputs, length: int, pad_id: int) -> dict[str, Tensor]:
    """The same text, every row padded to `length`."""
    more = length - inputs["input_ids"].shape[1]
    return {
        name: nn.functional.pad(value, (0, more), value=pad_id if name == "input_ids" else 0)
        for name, value in inputs.items()
    }


def draw_noise(*shape: int, device: str = "cpu") -> Tensor:
    """Gumbel noise as the formula says, from the global generator."""
    u = torch.rand(*shape, device=device)
    return -torch.log(-torch.log(u + 1e-20) + 1e-20)
