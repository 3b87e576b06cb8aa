"""Train WordPiece and byte-level BPE vocabularies on the corpus.

T5's is BERT's with sentinels for masked spans, so a BERT and a T5 of one corpus share a vocabulary.
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any

import tokenizers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from kdrun import progress
from kdrun.config.architectures import Architecture
from kdrun.data.corpus.corpora import Corpus
from kdrun.data.corpus.word_counts import (
    bert_normalizer,
    bert_splitter,
    byte_splitter,
    byte_words,
    count_words,
    wordpiece_words,
)
from kdrun.errors import ModelError
from kdrun.models.hub_files import silence_transformers
from kdrun.models.tokenizers import SENTINELS
from kdrun.storage import cache

FORMAT = 1
"""Version of the rules below; part of the cache key."""

WORDPIECE = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
BYTE_BPE = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}

ASCII = string.ascii_lowercase + string.digits + string.punctuation
SMALLEST = {"wordpiece": 160, "bpe": 300}
"""Minimum number of entries; a smaller vocabulary is hardly more than its alphabet."""

SHIFT = 0xF0000
"""Offset of a character that continues a word, into the private-use characters, which occur in no text."""

LONGEST_WORD = 40
"""In characters; longer words are left out of the training."""

WORDS_PER_LINE = 1000
"""Words that the trainer reads at a time."""


def from_corpus(
    architecture: Architecture, corpus: Corpus, vocab_size: int, max_length: int, role: str
) -> PreTrainedTokenizerBase:
    """Train a vocabulary on the corpus, or load it from the cache.

    Args:
        architecture: decides the type of vocabulary, the special tokens and the token types.
        corpus: read once, as a stream.
        vocab_size: entries, special tokens included; fewer if the corpus does not have as many.
        max_length: the tokenizer's `model_max_length`.
        role: teacher, student or generator, for messages.

    Raises:
        ModelError: the vocabulary would be smaller than its alphabet.
    """
    vocabulary = architecture.spec.vocabulary
    if vocab_size < SMALLEST[vocabulary]:
        raise ModelError(
            f"{role}.vocab_size={vocab_size} is too small for a {vocabulary} vocabulary, whose alphabet and special "
            f"tokens alone take most of {SMALLEST[vocabulary]}; set {role}.vocab_size=2000"
        )
    key = {
        "format": FORMAT,
        "kind": vocabulary,
        "corpus": corpus.fingerprint,
        "vocab_size": vocab_size,
        "tokenizers": tokenizers.__version__,
    }
    backend, _ = cache.fetch(
        "vocabulary",
        key,
        lambda work: train(corpus, vocabulary, vocab_size).save(str(work / "tokenizer.json")),
        lambda folder: Tokenizer.from_file(str(folder / "tokenizer.json")),
    )
    return wrap(backend, architecture, max_length)


def train(corpus: Corpus, vocabulary: str, vocab_size: int, processes: int | None = None) -> Tokenizer:
    """Train a vocabulary on a corpus.

    Args:
        corpus: read once, by several processes if it is large.
        vocabulary: `bpe` or `wordpiece`.
        vocab_size: entries, special tokens included.
        processes: by default one per usable CPU; without influence on the result.
    """
    with progress.track("building the vocabulary from the corpus"):
        if vocabulary == "bpe":
            return _byte_bpe(count_words(corpus, byte_words, processes), vocab_size)
        return _wordpiece(count_words(corpus, wordpiece_words, processes), vocab_size)


def wrap(backend: Tokenizer, architecture: Architecture, max_length: int) -> PreTrainedTokenizerBase:
    """Wrap a trained vocabulary as a transformers tokenizer, with the special tokens and inputs of the family."""
    special = BYTE_BPE if architecture.spec.vocabulary == "bpe" else WORDPIECE
    if architecture.spec.is_text_to_text:
        return _text_to_text(backend, special, max_length)
    if architecture.spec.reads == "last_token":
        return _decoder(backend, special, max_length)
    return _encoder(backend, special, architecture.spec.token_types, max_length)


def _decoder(backend: Tokenizer, special: dict[str, str], max_length: int, **more: Any) -> PreTrainedTokenizerBase:
    """A tokenizer whose texts end with the end-of-text token, which a decoder that classifies reads.

    Args:
        backend: the trained entries.
        special: special tokens by role.
        max_length: longest text, in tokens.
        more: further arguments of the tokenizer.
    """
    end = special["sep"]
    _set_template(backend, f"$A {end}", f"$A {end} $B {end}", [end])
    with silence_transformers():
        return PreTrainedTokenizerFast(
            tokenizer_object=backend,
            model_max_length=max_length,
            model_input_names=["input_ids", "attention_mask"],
            pad_token=special["pad"],
            unk_token=special["unk"],
            eos_token=end,
            **more,
        )


def _encoder(
    backend: Tokenizer, special: dict[str, str], token_types: bool, max_length: int
) -> PreTrainedTokenizerBase:
    inputs = ["input_ids", *(["token_type_ids"] if token_types else []), "attention_mask"]
    with silence_transformers():
        return PreTrainedTokenizerFast(
            tokenizer_object=backend,
            model_max_length=max_length,
            model_input_names=inputs,
            **{f"{name}_token": token for name, token in special.items()},
        )


def for_family(
    tokenizer: PreTrainedTokenizerBase, architecture: Architecture, max_length: int, where: str
) -> PreTrainedTokenizerBase:
    """Give another model's tokenizer the special tokens of a family; the ids of words stay.

    A tokenizer of an encoder becomes one of T5 by adding sentinels: they replace unused entries if there are enough of
    them, and are appended otherwise. A tokenizer of T5 becomes one of an encoder if its vocabulary has the encoder's
    special tokens.

    Args:
        tokenizer: the other model's.
        architecture: the family.
        max_length: the new tokenizer's `model_max_length`.
        where: config key, for messages.

    Raises:
        ModelError: a T5 tokenizer lacks an encoder's special tokens.
    """
    has_sentinels = SENTINELS[0] in tokenizer.get_vocab()
    source: Any = tokenizer.backend_tokenizer  # pyright: ignore[reportAttributeAccessIssue]
    backend = Tokenizer.from_str(source.to_str())
    text_to_text = architecture.spec.is_text_to_text
    if text_to_text and not has_sentinels:
        special = {role: getattr(tokenizer, f"{role}_token") for role in ("pad", "unk", "sep")}
        return _text_to_text(backend, special, max_length)
    if text_to_text or not has_sentinels:
        return tokenizer
    lacking = [token for token in WORDPIECE.values() if backend.token_to_id(token) is None]
    if lacking:
        raise ModelError(
            f"{where}: the vocabulary belongs to a text-to-text model and has no {', '.join(lacking)}, which a "
            f"{architecture.value} model needs; set tokenizer=corpus"
        )
    _set_template(backend, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ["[CLS]", "[SEP]"])
    return _encoder(backend, WORDPIECE, architecture.spec.token_types, max_length)


def _text_to_text(backend: Tokenizer, special: dict[str, str], max_length: int) -> PreTrainedTokenizerBase:
    """A T5 tokenizer with an encoder's entries; the encoder's separator ends a text."""
    return _decoder(_with_sentinels(backend), special, max_length, extra_special_tokens=SENTINELS)


def _with_sentinels(backend: Tokenizer) -> Tokenizer:
    state = json.loads(backend.to_str())
    entries = state["model"]["vocab"]
    unused = sorted((i, name) for name, i in entries.items() if re.fullmatch(r"\[unused\d+\]", name))
    if len(unused) >= len(SENTINELS):
        new_names = dict(zip((name for _, name in unused), SENTINELS, strict=False))
        state["model"]["vocab"] = {new_names.get(name, name): i for name, i in entries.items()}
        backend = Tokenizer.from_str(json.dumps(state))
    backend.add_special_tokens(SENTINELS)
    return backend


def _set_template(backend: Tokenizer, single: str, pair: str, special: list[str]) -> None:
    """Set the special tokens around the texts of a row."""
    ids = [(token, backend.token_to_id(token)) for token in special]
    backend.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single=single, pair=pair, special_tokens=ids
    )


def _byte_bpe(words: Counter[str], vocab_size: int) -> Tokenizer:
    """Train byte-level BPE entries on words in the alphabet of bytes."""
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(BYTE_BPE.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer = _train_merges(words.items(), trainer)
    tokenizer.pre_tokenizer = byte_splitter  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    _set_template(tokenizer, "<s> $A </s>", "<s> $A </s> </s> $B </s>", ["<s>", "</s>"])
    return tokenizer


def _train_merges(words: Iterable[tuple[str, int]], trainer: trainers.BpeTrainer) -> Tokenizer:
    """Train BPE on words with their frequencies; the trainer's initial alphabet must have all of their characters."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    tokenizer.train_from_iterator(_repeated(words), trainer)
    return tokenizer


def _repeated(words: Iterable[tuple[str, int]]) -> Iterator[str]:
    """Yield each word as often as it occurs. A word of one character has nothing to merge and is left out."""
    for word, count in words:
        if len(word) > 1:
            many, rest = divmod(count, WORDS_PER_LINE)
            if many:
                yield from repeat(" ".join([word] * WORDS_PER_LINE), many)
            if rest:
                yield " ".join([word] * rest)


def _wordpiece(words: Counter[str], vocab_size: int) -> Tokenizer:
    """Train WordPiece entries on normalized words, the same on every machine.

    The WordPiece trainer of `tokenizers` numbers the `##` characters in the order of a hash table, so two runs differ.
    Its BPE trainer does not. WordPiece training is BPE over words whose continuing characters are marked, so the mark
    is encoded in the characters (`SHIFT`).
    """
    alphabet = _alphabet(words, vocab_size // 8)
    letters = sorted(alphabet) + sorted(chr(ord(char) + SHIFT) for char in alphabet if char.isalnum())
    num_entries = vocab_size - len(WORDPIECE)
    trainer = trainers.BpeTrainer(
        vocab_size=num_entries, min_frequency=2, initial_alphabet=letters, special_tokens=[], show_progress=False
    )
    ids = _train_merges(_marked(words, alphabet), trainer).get_vocab()
    names = [*WORDPIECE.values(), *map(_unmarked, sorted(ids, key=ids.__getitem__))]
    return _wordpiece_tokenizer({name: index for index, name in enumerate(names)})


def _wordpiece_tokenizer(vocabulary: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=WORDPIECE["unk"]))
    tokenizer.normalizer = bert_normalizer  # type: ignore[assignment]
    tokenizer.pre_tokenizer = bert_splitter  # type: ignore[assignment]
    tokenizer.decoder = decoders.WordPiece()  # type: ignore[assignment]
    tokenizer.add_special_tokens(list(WORDPIECE.values()))
    _set_template(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ["[CLS]", "[SEP]"])
    return tokenizer


def _alphabet(words: Counter[str], size: int) -> set[str]:
    """ASCII, so that plain words have no unknown character, and the corpus's most frequent other characters."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for char in word:
            counts[char] += count
    others = [char for char in counts if char not in ASCII and ord(char) + SHIFT <= 0x10FFFF]
    return set(ASCII) | set(sorted(others, key=lambda char: (-counts[char], char))[:size])


def _marked(words: Counter[str], alphabet: set[str]) -> Iterator[tuple[str, int]]:
    """Yield the words with all but their first character marked as continuing, and their frequencies."""
    for word, count in words.items():
        if len(word) <= LONGEST_WORD and alphabet.issuperset(word):
            yield word[0] + "".join(chr(ord(char) + SHIFT) for char in word[1:]), count


def _unmarked(entry: str) -> str:
    if ord(entry[0]) < SHIFT:
        return entry[0] + "".join(chr(ord(char) - SHIFT) for char in entry[1:])
    return "##" + "".join(chr(ord(char) - SHIFT) for char in entry)
