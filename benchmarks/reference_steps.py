"""Adversarial masked text as written in the papers: the reference for exactness and speed.

All rows are padded to one length. The generator is sampled over the whole vocabulary at every position. Teacher and
student read soft one-hots times their embedding tables, also in student turns. Nothing is cached between steps.
Gradients are computed for all models; the optimizer determines which are used.
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
    """Losses of MATE-KD and ZSKD, summed over the batch.

    Attributes:
        roles: generator, teacher, student.
        mask_id: the mask token.
        special_ids: tokens that are never generated, [k].
        temperature: temperature of the Gumbel-softmax.
    """

    roles: Mapping[str, nn.Module]
    mask_id: int
    special_ids: Tensor
    temperature: float = 1.0

    def generator_loss(self, inputs: Inputs, mask: Tensor, noise: Tensor, mlm_weight: float = 0.0) -> Tensor:
        """Compute minus KL(T(x′) ‖ S(x′)); for ZSKD plus mlm_weight · the mean cross-entropy at masked tokens.

        Args:
            inputs: the text, [batch, length].
            mask: the masked positions, [batch, length].
            noise: Gumbel, [batch, length, vocabulary].
            mlm_weight: β of ZSKD.
        """
        logits = self.generator_logits(inputs, mask)
        y = self.one_hots(logits, noise)
        divergence_sum = divergence(
            self.classify("student", inputs, mask, y), self.classify("teacher", inputs, mask, y)
        )
        if not mlm_weight:
            return -divergence_sum
        mlm_loss = cross_entropy(logits.transpose(1, 2), inputs["input_ids"].masked_fill(~mask, -100), reduction="none")
        return mlm_weight * (mlm_loss.sum(dim=1) / mask.sum(dim=1).clamp(min=1)).sum() - divergence_sum

    def student_loss(self, inputs: Inputs, labels: Tensor | None, mask: Tensor, noise: Tensor) -> Tensor:
        """Average the loss on the labels, KL(T(x) ‖ S(x)) and KL(T(x′) ‖ S(x′)); arguments as above.

        Without labels, as in ZSKD, the mean of the other two.
        """
        y = self.one_hots(self.generator_logits(inputs, mask), noise)
        clean = {role: self.roles[role](**inputs).logits for role in ("student", "teacher")}
        soft = divergence(clean["student"], clean["teacher"])
        adversarial = divergence(self.classify("student", inputs, mask, y), self.classify("teacher", inputs, mask, y))
        if labels is None:
            return (soft + adversarial) / 2
        return (cross_entropy(clean["student"], labels, reduction="sum") + soft + adversarial) / 3

    def generator_logits(self, inputs: Inputs, mask: Tensor) -> Tensor:
        """Return the generator's logits at every position of the masked text, [batch, length, vocabulary]."""
        masked = {**inputs, "input_ids": inputs["input_ids"].masked_fill(mask, self.mask_id)}
        return self.roles["generator"](**masked).logits.index_fill(2, self.special_ids, -torch.inf)

    def one_hots(self, logits: Tensor, noise: Tensor) -> Tensor:
        """Draw straight-through samples of these logits at every position, [batch, length, vocabulary]."""
        soft = ((logits.log_softmax(dim=-1) + noise) / self.temperature).softmax(dim=-1)
        return one_hot(soft.argmax(dim=-1), soft.shape[-1]).to(soft.dtype) - soft.detach() + soft

    def classify(self, role: str, inputs: Inputs, mask: Tensor, y: Tensor) -> Tensor:
        """Return a classifier's logits on x′, [batch, classes]."""
        model = self.roles[role]
        table = model.get_input_embeddings().weight  # pyright: ignore[reportCallIssue]
        m = mask[..., None].to(y.dtype)
        embeddings = (y @ table) * m + table[inputs["input_ids"]] * (1 - m)
        return model(**soft_tokens.soft_inputs(model, inputs, embeddings)).logits


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute KL(teacher ‖ student), summed over the batch."""
    log_t, log_s = teacher.log_softmax(dim=-1), student.log_softmax(dim=-1)
    return (log_t.exp() * (log_t - log_s)).sum()


def padded(inputs: Inputs, length: int, pad_id: int) -> dict[str, Tensor]:
    """Pad every row of the inputs to `length`."""
    more = length - inputs["input_ids"].shape[1]
    return {
        name: nn.functional.pad(value, (0, more), value=pad_id if name == "input_ids" else 0)
        for name, value in inputs.items()
    }


def draw_noise(*shape: int, device: str = "cpu") -> Tensor:
    """Draw Gumbel noise by its formula, from the global generator."""
    u = torch.rand(*shape, device=device)
    return -torch.log(-torch.log(u + 1e-20) + 1e-20)
