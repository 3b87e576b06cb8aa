"""Label words of a causal language model and their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from kdrun.config.prompt_template import PromptTemplate
from kdrun.errors import ModelError


@dataclass(frozen=True)
class LabelWords:
    """Tokens of the label words, and the continuations of a prompt that score all of them.

    Attributes:
        tokens: tokens of each word.
        continuations: token sequences to append to a prompt, one pass each; every beginning of a word, without its last
            token, begins one of them. Words of one token need the empty continuation alone.
        sources: per word, the continuation that scores it.
    """

    tokens: list[list[int]]
    continuations: list[tuple[int, ...]]
    sources: list[int]

    @property
    def longest(self) -> int:
        """Number of tokens of the longest word."""
        return max(map(len, self.tokens))


def lay_out(tokens: list[list[int]]) -> LabelWords:
    """The continuations that score words with these tokens."""
    beginnings = sorted({tuple(word[:-1]) for word in tokens})
    continuations = [
        one for one in beginnings if not any(other != one and other[: len(one)] == one for other in beginnings)
    ]
    sources = [
        next(i for i, one in enumerate(continuations) if one[: len(word) - 1] == tuple(word[:-1])) for word in tokens
    ]
    return LabelWords(tokens, continuations, sources)


def tokens_after(template: PromptTemplate, words: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Tokens of each label word behind the template; a space separates them unless the template ends with a blank.

    Raises:
        ModelError: a word has no tokens, is part of a token of the template, has an unknown token, has the tokens of
            another word, or begins with another word, which would then always score higher. All are listed.
    """
    tail = template.tail
    separator = "" if not tail or tail[-1].isspace() else " "
    before, problems = _ids(tokenizer, tail), list[str]()
    tokens: list[list[int]] = []
    for word in words:
        ids = _ids(tokenizer, tail + separator + word)
        if ids[: len(before)] != before:
            problems.append(f"{word!r} melts with the end of the template ({tail[-12:]!r}) into one token")
        elif len(ids) == len(before):
            problems.append(f"{word!r} has no tokens")
        elif tokenizer.unk_token_id in ids[len(before) :] and tokenizer.unk_token_id not in _special(tokenizer):
            problems.append(f"{word!r} has a token that is not in the vocabulary")
        tokens.append(ids[len(before) :])
    problems += _overlaps(words, tokens) if not problems else []
    if problems:
        raise ModelError(
            f"the label words {', '.join(words)} cannot be scored behind teacher.template: {'; '.join(problems)}; "
            "choose other words with teacher.label_words=[…]"
        )
    return tokens


def _overlaps(words: Sequence[str], tokens: Sequence[Sequence[int]]) -> list[str]:
    problems = []
    for i, one in enumerate(tokens):
        for k, other in enumerate(tokens):
            if i < k and list(one) == list(other):
                problems.append(f"{words[i]!r} and {words[k]!r} have the same tokens")
            elif i != k and len(one) < len(other) and list(other[: len(one)]) == list(one):
                problems.append(f"{words[k]!r} begins with the tokens of {words[i]!r}, which always scores higher")
    return problems


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"] if text else []  # pyright: ignore
    return ids


def _special(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids that are no sign of an unknown word: byte-level tokenizers have their end token as the unknown one."""
    return [id for id in (tokenizer.eos_token_id, tokenizer.bos_token_id) if isinstance(id, int)]
