"""A model with its tokenizer, name and fingerprint; context of builders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from kdrun.config.model import PretrainConfig
from kdrun.config.prompt_template import PromptTemplate
from kdrun.config.task import TaskConfig
from kdrun.data.corpus.corpora import Corpus
from kdrun.data.tokenization import Prompts
from kdrun.models.pretrained_body import PretrainedBody
from kdrun.models.t5_base import TaskT5


@dataclass
class ModelBundle:
    """A model of one role, ready for the task, with its tokenizer.

    Attributes:
        model: a sequence classifier, or a T5 or causal language model that answers the task; for a generator a
            masked language model or a plain T5. fp32, on the CPU.
        tokenizer: a fast tokenizer.
        name: name on the console, e.g. `bert 2x128 (scratch)`.
        fingerprint: hash of weights, config and tokenizer, 64 hex digits; part of cache keys.
        has_head: whether the checkpoint came with a classification head for this task.
        notes: remarks for the reader of a run, one sentence each.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    fingerprint: str
    has_head: bool
    notes: list[str] = field(default_factory=list)

    @property
    def prompts(self) -> Prompts:
        """The prompt of each text of a row, or the template of a prompted model; empty for other models."""
        template = getattr(self.model, "template", None)
        if isinstance(template, PromptTemplate):
            return template
        return self.model.prompts if isinstance(self.model, TaskT5) else []

    @property
    def vocabulary_positions(self) -> int:
        """Positions per row whose logits over the vocabulary a T5 holds in memory at once; 0 for an encoder."""
        return self.model.vocabulary_positions if isinstance(self.model, TaskT5) else 0


class Pretrain(Protocol):
    """Pretrains a model, or finds it in the cache (`kdrun.training.pretraining.pretrain`)."""

    def __call__(
        self,
        model_config: PreTrainedConfig,
        tokenizer: PreTrainedTokenizerBase,
        config: PretrainConfig,
        context: BuildContext,
        start: PreTrainedModel | None = None,
    ) -> PretrainedBody:
        """The pretrained body of a model with this config; `start` is the body that it starts from."""
        ...


@dataclass(frozen=True)
class BuildContext:
    """Inputs of a builder besides its own config section.

    Attributes:
        role: teacher, student or generator.
        task: decides the head of a teacher and a student.
        corpus: opens the general text; called only when something is trained on it.
        seed: decides new weights and pretraining.
        teacher: the teacher before its fine-tuning, if there is one.
        attn_implementation: `kdrun.models.attention_maps.NAME` if a method reads attention maps, else `sdpa`.
        max_length: tokens per example, special tokens included.
        label_mass_weight: weight of the label-mass loss of a text-to-text teacher or student.
        pretrain: pretrains a body; None where nothing can be trained.
    """

    role: str
    task: TaskConfig
    corpus: Callable[[], Corpus]
    seed: int
    teacher: ModelBundle | None = None
    attn_implementation: str = "sdpa"
    max_length: int = 128
    label_mass_weight: float = 1.0
    pretrain: Pretrain | None = None
