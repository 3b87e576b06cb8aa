"""View any model as a classifier, and label new text.

Methods that make text ask in classes: which class is a text wanted to be of, does the teacher find it. A task that is
answered with a class gives these as they are. One that is answered with a text has them too, in this project's own way
[ours]: the class of a text is the word that its answer begins with, `person`, `location`, … or `none`.
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
from kdrun.generation.greedy import greedy_decode

if TYPE_CHECKING:
    from kdrun.config.task import TaskConfig

Rows = Mapping[str, dict[str, Tensor]]
"""The keyword arguments of models, by role."""


class ClassView:
    """Of a task that is answered with a class or a score: a model's logits are the answer."""

    def as_classifier(self, model: nn.Module) -> nn.Module:
        """A model as a classifier: called with its own arguments, its `logits` are of the classes, [batch, classes]."""
        return model

    def class_logits(self, logits: Tensor) -> Tensor:
        """The same of logits that are there already, [batch, classes]."""
        return logits

    def teacher_targets(self, teacher: nn.Module, rows: Rows) -> tuple[Rows, Tensor]:
        """What the student is told of new text.

        Args:
            teacher: the model.
            rows: the text as each role reads it.

        Returns:
            The text as each role reads it to answer, and the teacher's logits, as the run's loss takes them.
        """
        return rows, teacher(**rows["teacher"]).logits


class FirstTokenClassView(ClassView):
    """Of a task that is answered with a text: the first word is the class, the whole text is what is learnt [ours].

        class_logits(x)_c = logits(x)_1[first token of the word c]

    over the vocabulary at the first place of the answer, of which the tokens of the classes' words are taken; their
    softmax is the model's distribution over these words, renormalised. It costs one decoder step, and its gradient
    passes through soft tokens like any classifier's. An answer names entities in the order of the sentence, so a text's
    class is the type of its first entity.

    The teacher answers new text in full, greedily, and the student learns the teacher's distribution at every token of
    that answer, as it does of text whose answers are kept.

    Args:
        task: names the classes; `answer_tokens` bounds an answer.
        tokenizer: of teacher and student.
        start: id of what their decoders begin with.

    Raises:
        ModelError: two of the words begin with the same token, or one has none.
    """

    def __init__(self, task: TaskConfig, tokenizer: Any, start: int) -> None:
        self.start, self.limit = start, task.answer_tokens
        self.tokens = first_tokens(task.classes, tokenizer)

    def as_classifier(self, model: nn.Module) -> nn.Module:
        """The model asked for the first token of its answer."""
        return FirstTokenClassifier(model, self.start, self.tokens)

    def class_logits(self, logits: Tensor) -> Tensor:
        """From logits at every token of an answer, [batch, answer length, vocabulary]."""
        return logits[:, 0, self.tokens.to(logits.device)]

    def teacher_targets(self, teacher: nn.Module, rows: Rows) -> tuple[Rows, Tensor]:
        """The teacher writes its answers; its logits at each of their tokens are NaN behind the ends."""
        ids, _ = greedy_decode(teacher, rows["teacher"], self.limit)
        _, read = shift_right(ids, torch.ones_like(ids, dtype=torch.bool), self.start)
        told = {role: {**own, "decoder_input_ids": read} for role, own in rows.items()}
        return told, teacher(**told["teacher"]).logits


class FirstTokenClassifier(nn.Module):
    """A view of a model that writes as a classifier by the first token of its answer; it has no weights of its own.

    Args:
        model: a `TextWriter`.
        start: id of what its decoder begins with.
        tokens: of the classes, [classes].
    """

    def __init__(self, model: nn.Module, start: int, tokens: Tensor) -> None:
        super().__init__()
        self.model, self.start, self.tokens = model, start, tokens
        self.training = model.training

    @property
    def config(self) -> Any:
        """The model's."""
        return self.model.config

    def get_input_embeddings(self) -> nn.Module:
        """The model's."""
        found: nn.Module = self.model.get_input_embeddings()  # pyright: ignore[reportCallIssue]
        return found

    def forward(self, decoder_input_ids: Tensor | None = None, **inputs: Tensor) -> Any:
        """`logits` [batch, classes]; an answer that comes with a batch is not read."""
        del decoder_input_ids
        given = inputs["attention_mask"]
        begin = torch.full((len(given), 1), self.start, device=given.device)
        logits = self.model(**inputs, decoder_input_ids=begin).logits
        return SimpleNamespace(logits=logits[:, 0, self.tokens.to(logits.device)])


def first_tokens(classes: Sequence[str], tokenizer: Any) -> Tensor:
    """The token that an answer of each class begins with, [classes].

    Args:
        classes: types of entities, and `none`.
        tokenizer: that spells answers.

    Raises:
        ModelError: with every two classes whose answers begin with the same token, or one that is no word.
    """
    openings = [name if name == entities.NO_ENTITY else f"{name}{entities.TYPE_END}" for name in classes]
    spelt = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in openings]
    problems, seen = [], {}
    for name, ids in zip(classes, spelt, strict=True):
        first = ids[0] if ids else tokenizer.unk_token_id
        if first == tokenizer.unk_token_id:
            problems.append(f"{name!r} begins with a token that the vocabulary does not know")
        elif first in seen:
            shown = tokenizer.convert_ids_to_tokens(first)
            problems.append(f"{seen[first]!r} and {name!r} both begin with {shown!r}")
        seen.setdefault(first, name)
    if problems:
        raise ModelError(
            "a text's class is the first token of its answer here, and in the vocabulary of "
            f"{len(tokenizer)} entries {'; '.join(problems)}; take models whose vocabulary tells them apart, or other "
            "names of the types (task.entities, task.folder.tags)"
        )
    return torch.tensor([ids[0] for ids in spelt])
