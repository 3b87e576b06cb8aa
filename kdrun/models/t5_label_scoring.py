"""T5 as a classifier that scores label words (verbalizers).

All methods ask a teacher or student for `logits`; this class gives a T5 such logits.
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

    over the whole vocabulary, so the logits are log-probabilities of whole answers: e^logit sum to 1 over the classes
    only if the model never answers anything but label words. Their softmax is the distribution over the classes. In an
    untrained model, words of more tokens have lower scores; training removes this bias.

    A regression task has no classes: the label words are numbers v_c, and `logits` [batch, 1] is
    Σ_c softmax(scores)_c · v_c, the mean of the numbers that the model would answer [ours; the original T5 is trained
    on the nearest number only].

    A method's loss compares label words with each other through the softmax. Standard T5 fine-tuning, the
    cross-entropy over the whole vocabulary at each token of the right word, adds −log Σ_c e^logit_c, the label-mass
    loss: how improbable it is that the answer is a label word at all.

        −logit_y = −log softmax(logits)_y + (−log Σ_c e^logit_c)

    The second term needs no label, so it is added to the loss of every method, under the name `stray` and with weight
    `label_mass_weight` [ours]: 1 is standard T5 fine-tuning, 0 omits the term. Without it a student distinguishes the
    classes equally well, but may answer something else in free generation. In a model with random weights its gradient
    exceeds all others at first; `teacher=t5_tiny` and `student=t5_tiny` therefore give it a weight of 0.1.

    Weights and config are saved as those of a T5ForConditionalGeneration; the config also holds `label_words` and
    `prompts`. Call `configure_for_task` before the first pass.
    """

    answer_inputs: Tensor
    answer_seen: Tensor
    answer_places: Tensor
    answer_nodes: Tensor
    answer_tokens: Tensor
    answer_present: Tensor
    answer_values: Tensor | None
    _label_mass_losses: list[Tensor]

    @property
    def vocabulary_positions(self) -> int:
        """One per distinct prefix of a label word."""
        return len(self.answer_places)

    @property
    def label_mass_weight(self) -> float:
        """Weight of the label-mass loss."""
        return self.config.stray_weight  # the key in saved configs

    def configure_for_task(
        self, task: TaskConfig, tokenizer: PreTrainedTokenizerBase, label_mass_weight: float = 1.0
    ) -> None:
        """Set up the task's label words in the tokens of this tokenizer.

        Raises:
            ModelError: a word has no tokens or an unknown one, or two words have the same tokens.
        """
        words = word_ids(task.label_words, tokenizer)
        self.config.label_words, self.config.prompts = list(task.label_words), list(task.prompts)
        self.config.stray_weight = label_mass_weight
        label_alignment.set_labels(self.config, task)
        start, end = self.config.decoder_start_token_id, tokenizer.eos_token_id
        assert isinstance(start, int)
        assert isinstance(end, int)
        for name, tensor in vars(layout_label_words(words, start, end)).items():
            self.register_buffer(f"answer_{name}", tensor, persistent=False)
        values = torch.tensor([float(word) for word in task.label_words]) if task.is_regression else None
        self.register_buffer("answer_values", values, persistent=False)
        self._label_mass_losses = []
        self.set_generation(max(map(len, words)) + 1, tokenizer)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        prompt_mask: Tensor | None = None,
        **generation: Any,
    ) -> Any:
        """The log-likelihood of each label word, `logits` [batch, classes] in float32; or the score, [batch, 1].

        Args:
            input_ids: prompt and text, [batch, length].
            inputs_embeds: their embeddings, instead of ids, [batch, length, width].
            attention_mask: 1 on tokens, 0 on padding, [batch, length].
            prompt_mask: 1 on the tokens of prompts; ignored, accepted so that a whole batch can be passed.
            **generation: arguments from `generate`; the pass is then that of a plain T5.
        """
        del prompt_mask
        if generation:
            ids: Any = input_ids
            return super().forward(ids, attention_mask, inputs_embeds=inputs_embeds, **generation)
        hidden = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, inputs_embeds=inputs_embeds
        ).last_hidden_state
        scores = self._scores(hidden, attention_mask)
        if self.training and torch.is_grad_enabled() and self.label_mass_weight:
            self._label_mass_losses.append(-scores.logsumexp(dim=-1))
        logits = scores if self.answer_values is None else scores.softmax(dim=-1) @ self.answer_values[:, None]
        return SequenceClassifierOutput(logits=logits)  # pyright: ignore[reportArgumentType]

    def auxiliary_losses(self) -> dict[str, tuple[float, Tensor]]:
        """Weight and value of the label-mass loss: its mean over the rows of training passes since the last call."""
        passes, self._label_mass_losses = self._label_mass_losses, []
        return {"stray": (self.label_mass_weight, torch.cat(passes).mean())} if passes else {}

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
    """A trie of label words, laid out as one decoder sequence with a block-diagonal causal mask.

    One short decoder pass per row scores all words: the decoder inputs of the words follow each other in blocks that
    do not attend to each other. T5 knows only distances between positions, so each block is computed as if it were
    alone, and the encoder's states are read once instead of once per class. A block that is a prefix of another is left
    out, and the softmax over the vocabulary is computed once per distinct prefix (node of the trie).

    Attributes:
        inputs: decoder input ids, [1, positions].
        seen: which position attends to which, [1, 1, positions, positions] bool.
        places: position of each node's last token, [nodes].
        nodes: per class and token, the number of the node that the token follows, [classes, longest].
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
    """Lay out label words for one decoder pass.

    Args:
        words: tokens of each word, without an end.
        start: id that the decoder's input begins with.
        end: id of the end of a text. It is scored as well, so that no word is a prefix of another, and a model that
            gives a word a high score stops after it.
    """
    blocks = sorted({(start, *word) for word in words})
    blocks = [block for block in blocks if not any(b != block and b[: len(block)] == block for b in blocks)]
    offsets = [sum(map(len, blocks[:i])) for i in range(len(blocks))]
    size = sum(map(len, blocks))
    seen = torch.zeros(1, 1, size, size, dtype=torch.bool)
    for offset, block in zip(offsets, blocks, strict=True):
        stop = offset + len(block)
        seen[..., offset:stop, offset:stop] = torch.ones(len(block), len(block), dtype=torch.bool).tril()
    prefixes = {block[: n + 1]: at + n for at, block in zip(offsets, blocks, strict=True) for n in range(len(block))}
    number = {prefix: n for n, prefix in enumerate(prefixes)}
    shape = (len(words), max(map(len, words)) + 1)
    nodes, tokens, present = torch.zeros(shape).long(), torch.zeros(shape).long(), torch.zeros(shape)
    for c, word in enumerate(words):
        for i, token in enumerate([*word, end]):
            nodes[c, i], tokens[c, i], present[c, i] = number[(start, *word[:i])], token, 1.0
    inputs = torch.tensor([token for block in blocks for token in block])[None]
    return LabelWordLayout(inputs, seen, torch.tensor(list(prefixes.values())), nodes, tokens, present)


def word_ids(words: list[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Tokens of each label word.

    Raises:
        ModelError: a word has no tokens or an unknown one, or two words have the same tokens; all are listed.
    """
    problems, by_ids = [], {}
    tokens = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
    for word, ids in zip(words, tokens, strict=True):
        if not ids:
            problems.append(f"{word!r} has no tokens")
        elif tokenizer.unk_token_id in ids:
            problems.append(f"{word!r} has a token that is not in the vocabulary")
        elif tuple(ids) in by_ids:
            problems.append(f"{by_ids[tuple(ids)]!r} and {word!r} have the same tokens")
        by_ids[tuple(ids)] = word  # pyright: ignore[reportArgumentType]
    if problems:
        raise ModelError(
            f"the label words {', '.join(words)} cannot be distinguished in the vocabulary of "
            f"{len(tokenizer)} entries: {'; '.join(problems)}; choose other words with task.label_words=[…]"
        )
    return tokens  # pyright: ignore[reportReturnType]
