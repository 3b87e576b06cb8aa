"""Root configuration of a run and registered schema of every section.

Values of a paper are in `conf/*.yaml` with their source. Every field is made by `setting`, which holds its range and
meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kdrun.config.data import CORPUS_SOURCES, DATA_SOURCES, GeneratedConfig, OODConfig
from kdrun.config.evaluation import EvaluationConfig
from kdrun.config.fields import setting
from kdrun.config.loss import LossConfig
from kdrun.config.model import (
    BagOfWordsStudentConfig,
    LayersOfConfig,
    NoGeneratorConfig,
    PretrainedConfig,
    ScratchConfig,
)
from kdrun.config.optim import OptimConfig
from kdrun.config.runtime import CheckpointConfig, CheckpointSelection, RuntimeConfig, Tracker
from kdrun.config.task import TaskConfig
from kdrun.config.teacher import (
    PretrainedTeacherConfig,
    PromptedTeacherConfig,
    RecordedTeacherConfig,
    ScratchTeacherConfig,
)


@dataclass
class RunConfig:
    """A whole run."""

    method: Any = setting(doc="how the student is trained")
    task: TaskConfig = setting(TaskConfig(), "the task to learn")
    data: Any = setting(doc="source of the task's rows")
    teacher: Any = setting(doc="the model that teaches")
    student: Any = setting(doc="the model that learns")
    generator: Any = setting(doc="the model that generates text, where a method needs one")
    loss: LossConfig = setting(LossConfig(), "divergence between student and teacher")
    optim: OptimConfig = setting(OptimConfig(), "optimizer and budget of the student")
    corpus: Any = setting(doc="general text")
    ood: OODConfig = setting(OODConfig(), "out-of-domain rows from the corpus, for data-free methods")
    generated: GeneratedConfig = setting(GeneratedConfig(), "export of generated text")
    evaluation: EvaluationConfig = setting(EvaluationConfig(), "labeled rows to score besides the task's dev splits")
    runtime: RuntimeConfig = setting(RuntimeConfig(), "speed and logging")
    checkpoint: CheckpointConfig = setting(CheckpointConfig(), "checkpoints to resume an interrupted run from")
    preset: str = setting(doc="a set of models, data and budget")
    experiment: str | None = setting(None, "the published run to repeat")
    seed: int = setting(1, "seed of every random choice", ge=0)
    checkpoint_selection: CheckpointSelection | None = setting(
        None, "checkpoint that becomes the result; null is best_dev, or last for data-free methods"
    )
    output_dir: str = setting("outputs", "folder of run directories and the ledger")
    run_dir: str | None = setting(None, "the run's directory; null is <output_dir>/<method>/<task>/<time>-<id>")
    sweep: str | None = setting(
        None, "with `kdrun -m`: the sweep's name; null is derived from the swept keys and the other overrides"
    )
    retry: bool = setting(False, "with `kdrun -m`: also repeat failed cells")
    student_alone: bool = setting(
        False,
        "after a run with a teacher, also train the same student without one (method=finetune), and print the gain; "
        "not with -q",
    )
    report: bool = setting(True, "write report.html into the run's directory")
    cost_card: bool = setting(
        False,
        "after the run, measure parameters, bytes, operations, latency, throughput and memory of teacher and student "
        "on this machine's CPU",
    )
    tracker: Tracker = setting(Tracker.none, "also send metrics to a tracker; metrics.jsonl is always written")
    offline: bool = setting(
        False,
        "open no socket: models and data from the hub must be in its caches; an error names any missing file",
    )
    dry_run: bool = setting(False, "build everything, run one step of each turn and one evaluation batch, stop")
    debug: bool = setting(False, "show tracebacks")


SCHEMAS: dict[str, dict[str, type]] = {
    "data": DATA_SOURCES,
    "teacher": {
        "pretrained": PretrainedTeacherConfig,
        "scratch": ScratchTeacherConfig,
        "recorded": RecordedTeacherConfig,
        "prompted": PromptedTeacherConfig,
    },
    "student": {
        "pretrained": PretrainedConfig,
        "scratch": ScratchConfig,
        "layers_of": LayersOfConfig,
        "bow": BagOfWordsStudentConfig,
    },
    "generator": {"none": NoGeneratorConfig, "pretrained": PretrainedConfig, "scratch": ScratchConfig},
    "corpus": CORPUS_SOURCES,
}
"""Schema of each registered choice of a section that has several; methods register their own."""
