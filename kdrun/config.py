"""The sections of a run's configuration: typed dataclasses with ranges; defaults live here, once.

Values of a paper live in `conf/*.yaml` with their source. Every field is made by `setting`, so that its range
and meaning travel with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from kdrun.data.config import (
    CorpusConfig,
    DataConfig,
    FolderCorpusConfig,
    FolderDataConfig,
    GeneratedDataConfig,
    HubCorpusConfig,
    HubDataConfig,
    OODConfig,
    TaskConfig,
)
from kdrun.settings import setting
from kdrun.teachers.config import MetaTeaching, TeacherLessons


class Precision(Enum):
    """Arithmetic of training and evaluation; weights and losses stay in fp32 either way."""

    fp32 = "fp32"
    bf16 = "bf16"


class Device(Enum):
    """Where to run; `auto` takes the best one present and the run says which."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Select(Enum):
    """Which checkpoint becomes the result: the best on the dev split, or the last."""

    best_dev = "best_dev"
    last = "last"


class Tracker(Enum):
    """Where metrics go beside metrics.jsonl, through Accelerate."""

    none = "none"
    tensorboard = "tensorboard"
    wandb = "wandb"
    mlflow = "mlflow"


class FineTune(Enum):
    """Whether kdrun fine-tunes the teacher: `auto` does so when its checkpoint has no classification head."""

    auto = "auto"
    always = "always"
    never = "never"


class Architecture(Enum):
    """Families that `scratch` can build: encoders, and T5, which answers with a text."""

    bert = "bert"
    distilbert = "distilbert"
    roberta = "roberta"
    t5 = "t5"


class TokenizerSource(Enum):
    """Where a scratch model's vocabulary comes from: trained on the corpus, or the teacher's own."""

    corpus = "corpus"
    teacher = "teacher"


@dataclass
class OptimConfig:
    """An optimizer, its schedule and its budget; used for the student and for fine-tuning a teacher."""

    name: str = setting("adamw", "registered optimizer")
    lr: float = setting(5e-4, "peak learning rate", gt=0)
    weight_decay: float = setting(0.01, "decoupled weight decay; not on biases and norms", ge=0)
    beta1: float = setting(0.9, "decay of the first moment", ge=0, lt=1)
    beta2: float = setting(0.999, "decay of the second moment", ge=0, lt=1)
    eps: float = setting(1e-8, "term added to the denominator", gt=0)
    schedule: str = setting("linear", "registered schedule: linear, cosine or constant")
    warmup_ratio: float = setting(0.1, "share of the role's own steps spent warming up", ge=0, lt=1)
    warmup_steps: int | None = setting(None, "the same as a number of steps; wins over the ratio", ge=0)
    clip_norm: float = setting(1.0, "largest gradient norm; 0 switches clipping off", ge=0)
    epochs: float = setting(3.0, "passes over the training rows", gt=0)
    steps: int | None = setting(None, "optimizer steps; wins over epochs", gt=0)
    batch_size: int = setting(32, "examples per micro-batch", gt=0)
    accumulate: int = setting(1, "micro-batches per optimizer step", gt=0)


@dataclass
class LossConfig:
    """How the student is pulled to the teacher."""

    name: str | None = setting(None, "registered loss; null is kl for classes and logit_mse for a score")


@dataclass
class PretrainConfig:
    """Pretraining of a scratch model on the corpus: masked tokens for an encoder, masked spans for T5."""

    steps: int = setting(0, "optimizer steps; 0 starts from random weights", ge=0)
    batch_size: int = setting(64, "sequences per step", gt=0)
    max_length: int = setting(64, "tokens per sequence", gt=2)
    mask_rate: float = setting(0.15, "share of the tokens that are predicted", gt=0, lt=1)
    mean_span: float = setting(3.0, "T5 alone: mean number of tokens that one sentinel stands for", ge=1)
    lr: float = setting(1e-3, "peak learning rate", gt=0)


@dataclass
class ModelConfig:
    """What every model section has."""

    name: str = setting(doc="registered builder")
    path: str | None = setting(None, "a folder that holds the model; wins over what else is set here")
    stray_weight: float = setting(
        1.0, "T5 alone: weight of answering with label words at all in its training; 1 is T5's own", ge=0
    )

    @property
    def starts_from_teacher(self) -> bool:
        """Whether building it takes the teacher's base model: for its vocabulary or its layers."""
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
    tokenizer: TokenizerSource = setting(TokenizerSource.corpus, "whose vocabulary")
    vocab_size: int = setting(2000, "entries of a vocabulary trained on the corpus, T5's sentinels left out", gt=10)
    pretrain: PretrainConfig = setting(PretrainConfig(), "pretraining on the corpus")

    @property
    def starts_from_teacher(self) -> bool:
        """With the teacher's vocabulary, unless a folder replaces it."""
        return self.tokenizer is TokenizerSource.teacher and self.path is None


@dataclass
class LayersOfConfig(ModelConfig):
    """A student cut out of another model: its embeddings and chosen layers (as DistilBERT and PKD start)."""

    layers: list[int] = setting([], "layers kept, counted from 0, in this order", ge=0)

    @property
    def starts_from_teacher(self) -> bool:
        """Unless `path` names another model to cut from."""
        return self.path is None


@dataclass
class TeacherOptions:
    """What a teacher has beside its model."""

    fine_tune: FineTune = setting(FineTune.auto, "whether kdrun fine-tunes it on the task")
    fine_tuning: OptimConfig = setting(OptimConfig(), "optimizer and budget of that fine-tuning")
    allow_weak: bool = setting(False, "go on even when the teacher is near the majority guess")
    seed: int = setting(1, "of its fine-tuning; apart from the run's, so that a sweep over seeds shares it", ge=0)
    lessons: TeacherLessons | None = setting(
        None, "the domains it learns from, and how; null is meta where the method asks, else single or mixed"
    )
    meta: MetaTeaching = setting(MetaTeaching(), "how a meta-teacher learns")


@dataclass
class PretrainedTeacherConfig(TeacherOptions, PretrainedConfig):
    """A teacher from the hub or a folder."""


@dataclass
class ScratchTeacherConfig(TeacherOptions, ScratchConfig):
    """A teacher built from its sizes."""


@dataclass
class NoGeneratorConfig:
    """No generator: for methods that need none."""

    name: str = setting("none", "registered builder")


@dataclass
class GeneratedConfig:
    """The text that a run leaves behind for other runs: `generated/train.jsonl`, made at its end."""

    rows: int | None = setting(
        None,
        "how many rows; null is as many as a data-free method learns from, at most 10000, and none for other methods",
        ge=0,
    )


@dataclass
class RuntimeConfig:
    """Speed and logging: changes how a run is carried out, not what it computes beyond rounding."""

    device: Device = setting(Device.auto, "where to run")
    precision: Precision = setting(Precision.fp32, "arithmetic of the models")
    threads: int | None = setting(None, "CPU threads; null leaves torch's choice", gt=0)
    deterministic: bool = setting(False, "refuse operations whose result may differ from run to run (GPU: slower)")
    compile: bool = setting(
        False, "torch.compile the models' layers: half a minute and more at the start, then somewhat faster steps"
    )
    log_every: int = setting(20, "optimizer steps between lines of metrics.jsonl", gt=0)
    eval_every: int | None = setting(
        None, "optimizer steps between evaluations; null is once an epoch, at most 20 times a phase", gt=0
    )
    eval_batch_size: int = setting(256, "examples per evaluation batch", gt=0)


@dataclass
class CheckpointConfig:
    """Checkpoints that a run can go on from (`kdrun resume=RUN_FOLDER`); they change nothing that it computes."""

    every: float = setting(300.0, "seconds of training between them; 0 saves after every step", ge=0)
    keep: int = setting(2, "how many, in case the newest is damaged", gt=0)


@dataclass
class Config:
    """A whole run."""

    method: Any = setting(doc="how the student is trained")
    task: TaskConfig = setting(TaskConfig(), "what is learnt")
    data: Any = setting(doc="where the rows come from")
    teacher: Any = setting(doc="the model that teaches")
    student: Any = setting(doc="the model that learns")
    generator: Any = setting(doc="the model that makes text, where a method needs one")
    loss: LossConfig = setting(LossConfig(), "how the student is pulled to the teacher")
    optim: OptimConfig = setting(OptimConfig(), "optimizer and budget of the student")
    corpus: Any = setting(doc="general text")
    ood: OODConfig = setting(OODConfig(), "out-of-domain rows made of the corpus, for data-free methods")
    generated: GeneratedConfig = setting(GeneratedConfig(), "text left behind by methods that make some")
    runtime: RuntimeConfig = setting(RuntimeConfig(), "speed and logging")
    checkpoint: CheckpointConfig = setting(CheckpointConfig(), "what an interrupted run goes on from")
    preset: str = setting(doc="which models, data and budget go together")
    experiment: str | None = setting(None, "the published run this one repeats")
    seed: int = setting(1, "decides every random choice", ge=0)
    select: Select | None = setting(None, "which checkpoint becomes the result; null is best_dev, last if data-free")
    output_dir: str = setting("outputs", "where run folders and the ledger go")
    run_dir: str | None = setting(None, "this run's folder; null is <output_dir>/<method>/<task>/<time>-<id>")
    sweep: str | None = setting(None, "of `kdrun -m`: the sweep's name; null is made of what it varies and its base")
    retry: bool = setting(False, "of `kdrun -m`: run its failed cells again too")
    report: bool = setting(True, "leave report.html in the run's folder")
    tracker: Tracker = setting(Tracker.none, "send metrics to a tracker too; metrics.jsonl is always written")
    offline: bool = setting(
        False,
        "open no socket: models and data from the hub must lie in its caches, or the run says which file is missing",
    )
    dry_run: bool = setting(False, "build everything, run one step of each turn and one evaluation batch, stop")
    debug: bool = setting(False, "show tracebacks")


SCHEMAS: dict[str, dict[str, type]] = {
    "data": {
        "embedded": DataConfig,
        "folder": FolderDataConfig,
        "hub": HubDataConfig,
        "generated": GeneratedDataConfig,
    },
    "teacher": {"pretrained": PretrainedTeacherConfig, "scratch": ScratchTeacherConfig},
    "student": {"pretrained": PretrainedConfig, "scratch": ScratchConfig, "layers_of": LayersOfConfig},
    "generator": {"none": NoGeneratorConfig, "pretrained": PretrainedConfig, "scratch": ScratchConfig},
    "corpus": {"embedded": CorpusConfig, "folder": FolderCorpusConfig, "hub": HubCorpusConfig},
}
"""Schema of each registered choice of a section that has several; methods register their own."""
