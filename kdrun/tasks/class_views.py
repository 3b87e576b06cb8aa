"""View any model as a classifier, and label new text.

Methods that generate text need a target class for each text and the class that the teacher assigns to it. In a task
answered with classes, these are the task's classes. In a task answered with text, the class of an input is the first
word of its answer: `person`, `location`, … or `none` [ours].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from kdrun.data import entities
from kdrun.data.target_sequences import shift_right
from kdrun.errors import ModelError
from kdrun.generation.decoding import greedy_decode

if TYPE_CHECKING:
    from kdrun.config.task import TaskConfig

Rows = Mapping[str, dict[str, Tensor]]
"""The keyword arguments of models, by role."""


class ClassView:
    """Class view for tasks that are answered with a class or a score: a model's logits are the answer."""

    def as_classifier(self, model: nn.Module) -> nn.Module:
        """A model as a classifier: takes the model's arguments, returns class `logits` [batch, classes]."""
        return model

    def class_logits(self, logits: Tensor) -> Tensor:
        """Class logits from a model's logits, [batch, classes]."""
        return logits

    def flipped(self, before: Tensor, after: Tensor) -> Tensor:
        """Whether the predicted class differs between two logits of a model, [batch] bool."""
        return self.class_logits(after).argmax(dim=-1) != self.class_logits(before).argmax(dim=-1)

    def confidence(self, logits: Tensor) -> Tensor:
        """Probability of the predicted class, [batch]."""
        return self.class_logits(logits).softmax(dim=-1).amax(dim=-1)

    def teacher_targets(self, teacher: nn.Module, rows: Rows) -> tuple[Rows, Tensor]:
        """The student's targets on new text.

        Args:
            teacher: the teacher's model.
            rows: the inputs of each role for the text.

        Returns:
            The inputs of each role for answering the text, and the teacher's logits for the run's loss.
        """
        return rows, teacher(**rows["teacher"]).logits


class MultiLabelClassView(ClassView):
    """Class view for multi-label tasks: each logit is a decision on one class."""

    def flipped(self, before: Tensor, after: Tensor) -> Tensor:
        """Whether any class is decided differently, [batch] bool."""
        return ((after > 0) != (before > 0)).any(dim=-1)

    def confidence(self, logits: Tensor) -> Tensor:
        """Probability of the least certain decision, [batch]."""
        return logits.abs().sigmoid().amin(dim=-1)


class FirstTokenClassView(ClassView):
    """Class view for tasks that are answered with a text: the answer's first word is the class [ours].

        class_logits(x)_c = logits(x)_1[first token of the word c]

    `logits(x)_1` are the logits over the vocabulary at the first position of the answer. The softmax of the class
    logits is the model's distribution over the class words, renormalized. The gradient passes through soft tokens as
    in any classifier. An answer names entities in the order of the sentence, so the class of a sentence is the type of
    the first entity.

    The teacher answers new text in full, greedily. The student learns the teacher's distribution at every token of
    that answer, as on text with cached answers.

    Cost: one decoder step per class prediction.

    Args:
        task: gives the classes and `answer_tokens`, the limit of an answer.
        tokenizer: tokenizer of teacher and student.
        start: id of the first token of their decoders.

    Raises:
        ModelError: two class words begin with the same token, or a class word begins with an unknown token.
    """

    def __init__(self, task: TaskConfig, tokenizer: Any, start: int) -> None:
        self.start, self.limit = start, task.answer_tokens
        self.tokens = first_tokens(task.classes, tokenizer)

    def as_classifier(self, model: nn.Module) -> nn.Module:
        """The model as a classifier by the first token of its answer."""
        return FirstTokenClassifier(model, self.start, self.tokens)

    def class_logits(self, logits: Tensor) -> Tensor:
        """Class logits from logits at every token of an answer, [batch, answer length, vocabulary]."""
        return logits[:, 0, self.tokens.to(logits.device)]

    def teacher_targets(self, teacher: nn.Module, rows: Rows) -> tuple[Rows, Tensor]:
        """Decode the teacher's answers; the teacher's logits at each answer token, NaN after an answer's end."""
        ids, _ = greedy_decode(teacher, rows["teacher"], self.limit)
        _, decoder_inputs = shift_right(ids, torch.ones_like(ids, dtype=torch.bool), self.start)
        answered = {role: {**inputs, "decoder_input_ids": decoder_inputs} for role, inputs in rows.items()}
        return answered, teacher(**answered["teacher"]).logits


class FirstTokenClassifier(nn.Module):
    """View of a text-generating model as a classifier by the first token of the answer; adds no weights.

    Args:
        model: an `AnswerT5`.
        start: id of the decoder's first token.
        tokens: id of the first token of each class word, [classes].
    """

    def __init__(self, model: nn.Module, start: int, tokens: Tensor) -> None:
        super().__init__()
        self.model, self.start, self.tokens = model, start, tokens
        self.training = model.training

    @property
    def config(self) -> Any:
        """Config of the model."""
        return self.model.config

    def get_input_embeddings(self) -> nn.Module:
        """Input embeddings of the model."""
        embeddings: nn.Module = self.model.get_input_embeddings()  # pyright: ignore[reportCallIssue]
        return embeddings

    def forward(self, decoder_input_ids: Tensor | None = None, **inputs: Tensor) -> Any:
        """Return `logits` [batch, classes]; an answer in the batch is ignored."""
        del decoder_input_ids
        mask = inputs["attention_mask"]
        start_ids = torch.full((len(mask), 1), self.start, device=mask.device)
        logits = self.model(**inputs, decoder_input_ids=start_ids).logits
        return SimpleNamespace(logits=logits[:, 0, self.tokens.to(logits.device)])


def first_tokens(classes: Sequence[str], tokenizer: Any) -> Tensor:
    """Id of the first token of an answer of each class, [classes].

    Args:
        classes: types of entities, and `none`.
        tokenizer: tokenizer of the answers.

    Raises:
        ModelError: two classes begin with the same token, or a class begins with an unknown token; lists all such
            classes.
    """
    openings = [name if name == entities.NO_ENTITY else f"{name}{entities.TYPE_END}" for name in classes]
    token_ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in openings]
    problems, name_by_token = [], {}
    for name, ids in zip(classes, token_ids, strict=True):
        first = ids[0] if ids else tokenizer.unk_token_id
        if first == tokenizer.unk_token_id:
            problems.append(f"{name!r} begins with a token that the vocabulary does not know")
        elif first in name_by_token:
            token = tokenizer.convert_ids_to_tokens(first)
            problems.append(f"{name_by_token[first]!r} and {name!r} both begin with {token!r}")
        name_by_token.setdefault(first, name)
    if problems:
        raise ModelError(
            "the class of a text is the first token of its answer, but in the vocabulary of "
            f"{len(tokenizer)} entries {'; '.join(problems)}; choose models whose vocabulary distinguishes them, or "
            "other names of the types (task.entities, task.folder.tags)"
        )
    return torch.tensor([ids[0] for ids in token_ids])
