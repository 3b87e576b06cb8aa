"""Model sections: pretrained, from scratch, layers of another model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from kdrun.config.architectures import Architecture
from kdrun.config.fields import setting

BAG_OF_WORDS = "kdrun_bow"
"""`model_type` in the config.json of a saved bag of words."""


class TokenizerSource(Enum):
    """Source of a scratch model's vocabulary: trained on the corpus, or the teacher's."""

    corpus = "corpus"
    teacher = "teacher"


class PretrainObjective(Enum):
    """Task of a pretraining: predict masked text, or learn the relations between tokens in a layer of the teacher.

    `masked_lm`: masked tokens for an encoder, masked spans for a T5. `relations`: MiniLMv2, for a student.
    """

    masked_lm = "masked_lm"
    relations = "relations"


@dataclass
class PretrainConfig:
    """Pretraining on the corpus."""

    steps: int = setting(0, "optimizer steps; 0 leaves the pretraining out", ge=0)
    objective: PretrainObjective = setting(
        PretrainObjective.masked_lm,
        "predict masked text, or, for a student, relations: learn those between tokens in a layer of the teacher "
        "before its fine-tuning (MiniLMv2)",
    )
    teacher_layer: int | None = setting(
        None, "relations only: layer of the teacher, from 1; null as in method=minilm", gt=0
    )
    relation_heads: int | None = setting(
        None, "relations only: A_r, the number of relation heads; null as in method=minilm", gt=0
    )
    batch_size: int = setting(64, "sequences per step", gt=0)
    max_length: int = setting(64, "tokens per sequence", gt=2)
    mask_rate: float = setting(0.15, "fraction of the tokens that are predicted", gt=0, lt=1)
    mean_span: float = setting(3.0, "T5 only: mean number of tokens that one sentinel replaces", ge=1)
    lr: float = setting(1e-3, "peak learning rate", gt=0)

    @property
    def learns_relations(self) -> bool:
        """Whether the teacher takes part."""
        return self.steps > 0 and self.objective is PretrainObjective.relations


@dataclass
class LayersPretrainConfig(PretrainConfig):
    """Pretraining of layers of another model, which come without a head for masked tokens."""

    objective: PretrainObjective = setting(
        PretrainObjective.relations, "relations, as of a student from scratch; masked_lm is refused"
    )


@dataclass
class ModelConfig:
    """Settings of every model section."""

    name: str = setting(doc="registered builder")
    path: str | None = setting(None, "a folder that holds the model; wins over the other keys of this section")
    labels: Any = setting(None, "classes of the checkpoint, as {name there: name in the task}; null matches by name")
    label_mass_weight: float = setting(
        1.0,
        "T5 only: weight of the loss that keeps probability mass on the label words (1 = standard T5 fine-tuning)",
        ge=0,
    )

    @property
    def starts_from_teacher(self) -> bool:
        """Whether building the model needs the teacher's base model: its vocabulary, its layers or its relations."""
        return False


@dataclass
class PretrainedConfig(ModelConfig):
    """A pretrained checkpoint from the hub."""

    hub: str = setting(doc="name at the hub")
    revision: str | None = setting(None, "commit or tag at the hub")


@dataclass
class ScratchConfig(ModelConfig):
    """A model built from its sizes, with an optional pretraining on the corpus."""

    architecture: Architecture = setting(Architecture.bert, "family of models")
    sizes: dict[str, Any] = setting({}, "arguments of the family's transformers config class, checked by name")
    tokenizer: TokenizerSource = setting(TokenizerSource.corpus, "source of the vocabulary")
    vocab_size: int = setting(2000, "entries of a vocabulary trained on the corpus, without T5's sentinels", gt=10)
    pretrain: PretrainConfig = setting(PretrainConfig(), "pretraining on the corpus")

    @property
    def starts_from_teacher(self) -> bool:
        """True with the teacher's vocabulary or relations, unless a folder replaces the model."""
        return self.path is None and (self.tokenizer is TokenizerSource.teacher or self.pretrain.learns_relations)


@dataclass
class LayersOfConfig(ModelConfig):
    """A student made from the embeddings and chosen layers of another model (as in DistilBERT and PKD)."""

    layers: list[int] = setting([], "layers kept, counted from 0, in this order", ge=0)
    pretrain: LayersPretrainConfig = setting(LayersPretrainConfig(), "pretraining on the corpus, from these layers")

    @property
    def starts_from_teacher(self) -> bool:
        """True unless `path` names another model to take layers from and nothing is learned from the teacher."""
        return self.path is None or self.pretrain.learns_relations


@dataclass
class BagOfWordsStudentConfig(ModelConfig):
    """A linear classifier over hashed n-grams: the control for whether a transformer is needed."""

    ngrams: int = setting(2, "longest n-gram, in tokens; 1 is a plain bag of words", ge=1, le=5)
    buckets: int = setting(2**18, "weights per output; n-grams with one hash share a weight", ge=2, le=2**30)
    tokenizer: TokenizerSource = setting(TokenizerSource.teacher, "source of the vocabulary")
    vocab_size: int = setting(30000, "entries of a vocabulary trained on the corpus", gt=10)

    @property
    def starts_from_teacher(self) -> bool:
        """True with the teacher's vocabulary, unless a folder replaces the model."""
        return self.tokenizer is TokenizerSource.teacher and self.path is None


@dataclass
class NoGeneratorConfig:
    """No generator: for methods that need none."""

    name: str = setting("none", "registered builder")
