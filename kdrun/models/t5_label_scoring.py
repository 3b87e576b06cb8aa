"""T5 as a classifier that scores label words (verbalizers).

What a teacher or student from the T5 family is, so that all methods, which ask a model for `logits`, work with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.modeling_outputs import SequenceClassifierOutput

from kdrun.config.task import TaskConfig
from kdrun.errors import ModelError
from kdrun.models import label_alignment
from kdrun.models.t5_base import TaskT5, scale_decoder_states


class T5LabelScorer(TaskT5):
    """A T5 model whose `logits` are the log-likelihoods of the task's label words.

        logit_c = Σ_i log p(word_c,i | word_c,<i, x),  i over the tokens of the word and the end of the text

    over the whole vocabulary, so the logits are log-probabilities of whole answers: e^logit sum to 1 over classes only
    once the model gives nothing else than label words. Their softmax is the distribution over the classes. Words of
    more tokens start with lower scores; training takes that away, an untrained model has it.

    A score has no classes: the label words are numbers v_c, and `logits` [batch, 1] is Σ_c softmax(scores)_c · v_c, the
    mean of the numbers that the model would answer [ours; T5 is trained on the nearest number alone].

    Training compares label words with one another, through the softmax. T5's own training, cross-entropy at each token
    of the right word over the whole vocabulary, is that plus −log Σ_c e^logit_c, how improbable it is that the answer
    is a label word at all:

        −logit_y = −log softmax(logits)_y + (−log Σ_c e^logit_c)

    The second term needs no label, so it is added in whatever a method minimises, as `stray`, with weight
    `stray_weight` [ours]: 1 makes fine-tuning T5's own, 0 leaves it out. Without it a student is as good at telling
    classes apart, but may answer something else in free generation.

    In a model with random weights that term's gradient drowns the others' at first: `teacher=t5_tiny` and
    `student=t5_tiny` give it a tenth.

    Weights and config are T5ForConditionalGeneration's own, and saved as such; `label_words` and `prompts` stand in
    the config. Answers become known with `take_on`, before the first pass.
    """

    answer_inputs: Tensor
    answer_seen: Tensor
    answer_places: Tensor
    answer_nodes: Tensor
    answer_tokens: Tensor
    answer_present: Tensor
    answer_values: Tensor | None
    _strayed: list[Tensor]

    @property
    def vocabulary_positions(self) -> int:
        """One per distinct beginning of a label word."""
        return len(self.answer_places)

    @property
    def stray_weight(self) -> float:
        """Weight of `stray` in what is minimised."""
        return self.config.stray_weight

    def configure_for_task(
        self, task: TaskConfig, tokenizer: PreTrainedTokenizerBase, stray_weight: float = 1.0
    ) -> None:
        """Learn the task's label words, as this tokenizer spells them.

        Raises:
            ModelError: a word cannot be spelt, or two are the same in tokens.
        """
        words = word_ids(task.label_words, tokenizer)
        self.config.label_words, self.config.prompts = list(task.label_words), list(task.prompts)
        self.config.stray_weight = stray_weight
        label_alignment.set_labels(self.config, task)
        start, end = self.config.decoder_start_token_id, tokenizer.eos_token_id
        assert isinstance(start, int)
        assert isinstance(end, int)
        for name, tensor in vars(layout_label_words(words, start, end)).items():
            self.register_buffer(f"answer_{name}", tensor, persistent=False)
        values = torch.tensor([float(word) for word in task.label_words]) if task.is_regression else None
        self.register_buffer("answer_values", values, persistent=False)
        self._strayed = []
        generation: Any = self.generation_config
        generation.max_new_tokens = max(map(len, words)) + 1
        generation.decoder_start_token_id, generation.eos_token_id = start, end
        generation.pad_token_id = tokenizer.pad_token_id

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        prompt_mask: Tensor | None = None,
        **generating: Any,
    ) -> Any:
        """The log-likelihood of each label word, `logits` [batch, classes] in float32; or the score, [batch, 1].

        Args:
            input_ids: prompt and text, [batch, length]; or
            inputs_embeds: their embeddings, [batch, length, width].
            attention_mask: 1 on tokens, 0 on padding, [batch, length].
            prompt_mask: 1 on the tokens of prompts; taken so that a batch can be passed whole, not read.
            **generating: what T5's own `generate` passes; then this is T5's own pass.
        """
        del prompt_mask
        if generating:
            ids: Any = input_ids
            return super().forward(ids, attention_mask, inputs_embeds=inputs_embeds, **generating)
        hidden = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, inputs_embeds=inputs_embeds
        ).last_hidden_state
        scores = self._scores(hidden, attention_mask)
        if self.training and torch.is_grad_enabled() and self.stray_weight:
            self._strayed.append(-scores.logsumexp(dim=-1))
        logits = scores if self.answer_values is None else scores.softmax(dim=-1) @ self.answer_values[:, None]
        return SequenceClassifierOutput(logits=logits)  # pyright: ignore[reportArgumentType]

    def auxiliary_losses(self) -> dict[str, tuple[float, Tensor]]:
        """What is minimised beside a method's loss: `stray` and its weight, a mean over the rows of training passes
        since the last call.
        """
        passes, self._strayed = self._strayed, []
        return {"stray": (self.stray_weight, torch.cat(passes).mean())} if passes else {}

    def _scores(self, hidden: Tensor, attention_mask: Tensor | None) -> Tensor:
        rows, nodes = len(hidden), self.answer_nodes
        decoded = self.decoder(
            input_ids=self.answer_inputs.expand(rows, -1),
            attention_mask=self.answer_seen.expand(rows, -1, -1, -1),
            encoder_hidden_states=hidden,
            encoder_attention_mask=attention_mask,
            use_cache=False,
        ).last_hidden_state[:, self.answer_places]
        # sums of log-probabilities in 16 bits would be off by more than classes differ
        with torch.autocast(decoded.device.type, enabled=False):
            decoded = scale_decoder_states(self.config, decoded.float())
            logits = torch.nn.functional.linear(decoded, self.lm_head.weight.float())
            chosen = logits[:, nodes, self.answer_tokens] - logits.logsumexp(dim=-1)[:, nodes]
            return (chosen * self.answer_present).sum(dim=-1)


@dataclass(frozen=True)
class LabelWordLayout:
    """Label words laid out for one short decoder pass a row.

    The decoder's inputs for all words stand one after another in one sequence, in blocks that do not see each other:
    T5 knows positions by their distance alone, so each block is computed as if it stood alone, and the encoder's
    states are read once instead of once a class. A block that is the beginning of another is left out, and each
    distinct beginning of a word is given to the vocabulary's softmax once.

    Attributes:
        inputs: decoder input ids, [1, places].
        seen: which place sees which, [1, 1, places, places] bool.
        places: of each distinct beginning, [beginnings].
        nodes: per class and token, the number of the beginning that the token follows, [classes, longest].
        tokens: the token, [classes, longest].
        present: 1.0 where a word has such a token, [classes, longest].
    """

    inputs: Tensor
    seen: Tensor
    places: Tensor
    nodes: Tensor
    tokens: Tensor
    present: Tensor


def layout_label_words(words: list[list[int]], start: int, end: int) -> LabelWordLayout:
    """Lay out label words.

    Args:
        words: the tokens of each, without an end.
        start: what the decoder's input begins with.
        end: what a text ends with. It counts too, so that no word is the beginning of another, and a model that was
            trained to give a high score stops after the word.
    """
    blocks = sorted({(start, *word) for word in words})
    blocks = [block for block in blocks if not any(o != block and o[: len(block)] == block for o in blocks)]
    offsets = [sum(map(len, blocks[:i])) for i in range(len(blocks))]
    size = sum(map(len, blocks))
    seen = torch.zeros(1, 1, size, size, dtype=torch.bool)
    for offset, block in zip(offsets, blocks, strict=True):
        stop = offset + len(block)
        seen[..., offset:stop, offset:stop] = torch.ones(len(block), len(block), dtype=torch.bool).tril()
    beginnings = {block[: n + 1]: at + n for at, block in zip(offsets, blocks, strict=True) for n in range(len(block))}
    number = {beginning: n for n, beginning in enumerate(beginnings)}
    shape = (len(words), max(map(len, words)) + 1)
    nodes, tokens, present = torch.zeros(shape).long(), torch.zeros(shape).long(), torch.zeros(shape)
    for c, word in enumerate(words):
        for i, token in enumerate([*word, end]):
            nodes[c, i], tokens[c, i], present[c, i] = number[(start, *word[:i])], token, 1.0
    inputs = torch.tensor([token for block in blocks for token in block])[None]
    return LabelWordLayout(inputs, seen, torch.tensor(list(beginnings.values())), nodes, tokens, present)


def word_ids(words: list[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """The tokens of each label word.

    Raises:
        ModelError: with every word that has an unknown token or none, and every two that are the same in tokens.
    """
    problems, by_ids = [], {}
    spelt = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
    for word, ids in zip(words, spelt, strict=True):
        if not ids:
            problems.append(f"{word!r} has no tokens")
        elif tokenizer.unk_token_id in ids:
            problems.append(f"{word!r} has a token that the vocabulary does not know")
        elif tuple(ids) in by_ids:
            problems.append(f"{by_ids[tuple(ids)]!r} and {word!r} have the same tokens")
        by_ids[tuple(ids)] = word  # pyright: ignore[reportArgumentType]
    if problems:
        raise ModelError(
            f"the label words {', '.join(words)} cannot be told apart in the vocabulary of "
            f"{len(tokenizer)} entries: {'; '.join(problems)}; set task.label_words to others"
        )
    return spelt  # pyright: ignore[reportReturnType]
