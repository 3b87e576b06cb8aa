"""Root configuration of a run and registered schema of every section.

Values of a paper live in `conf/*.yaml` with their source. Every field is made by `setting`, so that its range
and meaning travel with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kdrun.config.data import CORPUS_SOURCES, DATA_SOURCES, GeneratedConfig, OODConfig
from kdrun.config.fields import setting
from kdrun.config.model import LayersOfConfig, NoGeneratorConfig, PretrainedConfig, ScratchConfig
from kdrun.config.optim import LossConfig, OptimConfig
from kdrun.config.runtime import CheckpointConfig, CheckpointSelection, RuntimeConfig, Tracker
from kdrun.config.task import TaskConfig
from kdrun.config.teacher import PretrainedTeacherConfig, ScratchTeacherConfig


@dataclass
class RunConfig:
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
    checkpoint_selection: CheckpointSelection | None = setting(
        None, "which checkpoint becomes the result; null is best_dev, last if data-free"
    )
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
    "data": DATA_SOURCES,
    "teacher": {"pretrained": PretrainedTeacherConfig, "scratch": ScratchTeacherConfig},
    "student": {"pretrained": PretrainedConfig, "scratch": ScratchConfig, "layers_of": LayersOfConfig},
    "generator": {"none": NoGeneratorConfig, "pretrained": PretrainedConfig, "scratch": ScratchConfig},
    "corpus": CORPUS_SOURCES,
}
"""Schema of each registered choice of a section that has several; methods register their own."""
