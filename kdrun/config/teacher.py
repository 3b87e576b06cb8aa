"""Teacher section: fine-tuning and how a teacher learns several domains."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from kdrun.config.fields import setting
from kdrun.config.model import PretrainedConfig, ScratchConfig
from kdrun.config.optim import OptimConfig
from kdrun.config.prompt_template import PromptTemplate, default_template
from kdrun.config.task import TaskConfig


class DomainStrategy(Enum):
    """The rows that a teacher is fine-tuned on where the task has domains, and how.

    `single`: the student's domain alone. `mixed`: all domains as one task. `multi_task`: all domains, one output
    layer each on a shared encoder. `meta`: all domains, favoring features that transfer between them (Meta-KD).
    """

    single = "single"
    mixed = "mixed"
    multi_task = "multi_task"
    meta = "meta"


class PrototypeLevel(Enum):
    """Rows that a prototype is the mean of: those of one class in a domain, or all rows of a domain."""

    class_ = "class"
    domain = "domain"


class DomainCorruption(Enum):
    """Target of the meta-teacher's domain classifier: a wrong domain, or the permuted domains of the batch."""

    wrong = "wrong"
    permuted = "permuted"


@dataclass
class MetaTeacherConfig:
    """Settings of the meta-teacher (arXiv 2012.01266)."""

    own_weight: float = setting(0.5, "α: weight of the own domain's prototype in a row's transferability", ge=0, le=1)
    domain_weight: float = setting(0.5, "γ₁: weight of the domain corruption", ge=0)
    prototypes: PrototypeLevel = setting(PrototypeLevel.class_, "rows that a prototype is the mean of")
    corruption: DomainCorruption = setting(DomainCorruption.wrong, "target of the domain classifier")
    dropout: float = setting(0.1, "dropout between the domain embedding and its softmax", ge=0, lt=1)


class FineTune(Enum):
    """Whether kdrun fine-tunes the teacher: `auto` does so when its checkpoint has no classification head."""

    auto = "auto"
    always = "always"
    never = "never"


class Placement(Enum):
    """Where a teacher's weights are: on the run's device, or spread over GPUs, memory and disk."""

    one = "one"
    auto = "auto"


ALL_ROWS = "all"
"""The value of `teacher.train_rows` for all training rows."""


@dataclass
class TeacherOptions:
    """Settings of a teacher besides its model."""

    fine_tune: FineTune = setting(FineTune.auto, "whether kdrun fine-tunes the teacher on the task")
    finetune_optim: OptimConfig = setting(OptimConfig(), "optimizer and budget of that fine-tuning")
    train_rows: Any = setting(
        None,
        "rows of its fine-tuning: null is the student's, all is every training row (without held-out rows), a number a "
        "seeded subset that contains the student's",
    )
    allow_weak: bool = setting(False, "continue even if the teacher is close to the majority baseline")
    seed: int = setting(
        1, "seed of the fine-tuning; separate from the run's, so that a sweep over seeds shares the teacher", ge=0
    )
    domain_strategy: DomainStrategy | None = setting(
        None, "the domains it learns from, and how; null is meta where the method requires it, else single or mixed"
    )
    meta: MetaTeacherConfig = setting(MetaTeacherConfig(), "how a meta-teacher learns")
    top_k: int | None = setting(
        None,
        "tokens with the highest probability kept on disk at each token of an answer, for tasks answered with text; "
        "null computes all of the teacher's logits for each batch",
        ge=1,
    )
    placement: Placement = setting(
        Placement.one,
        "a frozen teacher that is too large for one device: auto spreads its layers over GPUs, memory and disk",
    )
    max_memory: Any = setting(
        None,
        "largest size of a spread teacher's weights by GPU number, or cpu, as {0: 20GiB, cpu: 60GiB}; the disk takes "
        "the rest; null measures free memory",
    )


@dataclass
class RecordedTeacherConfig(TeacherOptions):
    """Answers of a teacher in a file, or of several teachers, whose probabilities are averaged.

    No model is loaded: methods that need only the teacher's answers on their training rows can use it.
    """

    name: str = setting("recorded", "registered builder")
    path: Any = setting(
        None,
        "a .jsonl or .parquet file of answers, or a list of files; null is the generated text that the student "
        "trains on (data=generated)",
    )
    weights: list[float] = setting([], "weight of each file in the average; empty is equal weights", ge=0)
    labels: Any = setting(None, "classes of the files, as {name there: name in the task}; null matches by name")


@dataclass
class PromptedTeacherConfig(TeacherOptions, PretrainedConfig):
    """A causal language model that scores label words after a prompt; it is not trained."""

    name: str = setting("prompted", "registered builder")
    hub: str = setting("", "name at the hub")
    template: str | None = setting(
        None,
        r"prompt with {text} (and {text_pair}), \n for a new line; null is the task's prompts and a last line answer:",
    )
    label_words: list[str] = setting(
        [], "answer of each class, a word or several; empty is task.label_words, or else the classes themselves"
    )
    temperature: float = setting(1.0, "divides the log-likelihoods of the words: higher is less certain", gt=0)
    calibrate: bool = setting(
        False, "subtract each word's log-likelihood after the prompt of an empty text, so that frequent words win less"
    )

    def words_for(self, task: TaskConfig) -> list[str]:
        """The label words: those of this section, of the task, or its classes."""
        return list(self.label_words or task.label_words or task.labels)


def template_of(config: PromptedTeacherConfig, task: TaskConfig) -> PromptTemplate | None:
    r"""The template of the section, or else of the task; None without either. `\n` and `\t` are a line feed and a tab.

    A command line has no other way to name them: Hydra leaves backslashes in quotes as they are.
    """
    if config.template is None:
        return default_template(task)
    return PromptTemplate(config.template.replace("\\n", "\n").replace("\\t", "\t"))


@dataclass
class PretrainedTeacherConfig(TeacherOptions, PretrainedConfig):
    """A teacher from the hub or a folder."""


@dataclass
class ScratchTeacherConfig(TeacherOptions, ScratchConfig):
    """A teacher built from its sizes."""
