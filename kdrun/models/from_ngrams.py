"""Build a bag-of-words student."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

from kdrun.config.architectures import Architecture
from kdrun.config.model import BagOfWordsStudentConfig
from kdrun.errors import ModelError
from kdrun.models import bag_of_words, from_config, label_alignment
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.models.parameters import model_fingerprint
from kdrun.models.tokenizers import fitting_tokenizer, special_ids
from kdrun.rng import seeded_init


def build(config: BagOfWordsStudentConfig, context: BuildContext) -> ModelBundle:
    """Build a bag of words with weights of 0.

    Raises:
        ModelError: there is no tokenizer to take, or it does not separate the texts of a pair.
    """
    tokenizer = from_config.base_tokenizer(config, Architecture.bert, context)
    special = [i for i in special_ids(tokenizer) if i != tokenizer.unk_token_id]  # an unknown word is text
    num_texts = len(context.task.text)
    shape = bag_of_words.BagOfWordsConfig(
        vocab_size=len(tokenizer),
        ngrams=config.ngrams,
        buckets=config.buckets,
        num_texts=num_texts,
        prefix_tokens=_prefix_tokens(tokenizer, special, num_texts, context.role),
        special_ids=special,
        pad_token_id=tokenizer.pad_token_id,  # pyright: ignore[reportArgumentType]
    )
    label_alignment.set_labels(shape, context.task)
    bag_of_words.register_classes()
    with seeded_init(context.seed, context.role):
        model = bag_of_words.BagOfWordsForSequenceClassification(shape).eval()
    tokenizer = fitting_tokenizer(tokenizer, model)
    name = f"bag of words, 1–{config.ngrams}-grams" if config.ngrams > 1 else "bag of words"
    return ModelBundle(model, tokenizer, name, model_fingerprint(model, tokenizer), False)


def _prefix_tokens(tokenizer: PreTrainedTokenizerBase, special: list[int], num_texts: int, role: str) -> int:
    """Number of special tokens before the first text.

    Raises:
        ModelError: a row has two texts, and no special token between them.
    """
    ids: Any = tokenizer("a", "a" if num_texts > 1 else None)["input_ids"]
    is_text = [i not in special for i in ids]
    prefix = is_text.index(True)
    if num_texts > 1 and all(is_text[prefix : len(is_text) - is_text[::-1].index(True)]):
        raise ModelError(
            f"{role}.tokenizer=teacher: the teacher's tokenizer puts no special token between the texts of a pair, so "
            f"a bag of words cannot tell them apart; set {role}.tokenizer=corpus"
        )
    return prefix
