"""Fine-tune a teacher once and keep it in the cache."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from accelerate import Accelerator
from torch import nn

from kdrun import registry
from kdrun.config.model import PretrainedConfig
from kdrun.config.schema import RunConfig
from kdrun.config.teacher import DomainStrategy, FineTune, TeacherOptions
from kdrun.data.loader import BatchLoader
from kdrun.data.target_sequences import TargetSequences
from kdrun.data.tokenization import TokenizedSplit
from kdrun.methods.base import Method, MethodContext
from kdrun.methods.domain_teachers.base import DomainTeacherMethod
from kdrun.methods.domain_teachers.meta import MetaTeacher
from kdrun.methods.domain_teachers.multi_task import MultiTaskTeacher
from kdrun.models import saving
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.models.parameters import model_fingerprint as built_fingerprint
from kdrun.storage import cache, checkpoint_files, hashing
from kdrun.storage.checkpoint_manager import CheckpointManager
from kdrun.storage.serialization import to_plain
from kdrun.tasks.base import Outputs
from kdrun.tasks.evaluator import Evaluator
from kdrun.training import memory
from kdrun.training.callbacks import TrainerCallback
from kdrun.training.trainer import Trainer, TrainerSettings


@dataclass(frozen=True)
class TeacherTrainingSet:
    """The training rows as a teacher reads them, and how it learns from them where they are of several domains.

    Attributes:
        tokens: of the rows.
        labels: the gold labels; None of a task that is answered with a text.
        targets: these texts.
        kind: how it learns; None for a task without domains.
        domains: index of each row's domain, where rows have one.
        transferability: t(x) of each row, for a meta-teacher.
        target: the student's domain, whose teacher is wanted of one that learns several at once.
    """

    tokens: TokenizedSplit
    labels: np.ndarray | None
    targets: TargetSequences | None = None
    kind: DomainStrategy | None = None
    domains: np.ndarray | None = None
    transferability: np.ndarray | None = None
    target: int | None = None

    @property
    def fingerprint(self) -> str:
        """Changes with the answers that are learnt."""
        if self.targets is not None:
            return self.targets.fingerprint
        assert self.labels is not None
        return hashing.digest([float(x) for x in self.labels])

    @property
    def strategy_class(self) -> type[DomainTeacherMethod] | None:
        """What fine-tunes the teacher, where it is more than the classifier's own loss."""
        return None if self.kind is None else STRATEGY_CLASSES.get(self.kind)

    @property
    def extras(self) -> dict[str, np.ndarray]:
        """What batches carry for such a way."""
        if self.strategy_class is None:
            return {}
        found = {"domain": self.domains, "transferability": self.transferability}
        return {name: values for name, values in found.items() if values is not None}


CACHED_NAMES = {"gradient_accumulation_steps": "accumulate", "max_grad_norm": "clip_norm"}
"""Settings of an optimizer that cache keys hold under an older name, so that cached teachers stay valid."""

STRATEGY_CLASSES: dict[DomainStrategy, type[DomainTeacherMethod]] = {
    DomainStrategy.multi_task: MultiTaskTeacher,
    DomainStrategy.meta: MetaTeacher,
}


@dataclass(frozen=True)
class FineTunedTeacher:
    """A fine-tuned teacher.

    Attributes:
        built: the model, frozen.
        from_cache: whether it was there already.
        modules: that belong to it, by the role that methods know them by.
        rows_read: how many different rows its fine-tuning read, of each domain where rows have one; None for one
            of an older cache entry, which does not say.
    """

    built: ModelBundle
    from_cache: bool
    modules: dict[str, nn.Module]
    rows_read: dict[str, int] | None


@dataclass(frozen=True)
class TeacherEvaluation:
    """Where teachers work: the run's config, dev tokens as the teacher reads them, and the evaluator."""

    config: RunConfig
    dev: dict[str, TokenizedSplit]
    evaluator: Evaluator
    accelerator: Accelerator

    @property
    def watched(self) -> dict[str, TokenizedSplit]:
        """Dev tokens of the splits that are scored while training."""
        return {split: self.dev[split] for split in self.config.task.eval_splits_during_training}

    def outputs(self, built: ModelBundle) -> dict[str, Outputs]:
        """What the model says of every dev split."""
        return {split: self.evaluator.outputs(built, table) for split, table in self.dev.items()}


def needs_finetuning(options: TeacherOptions, built: ModelBundle) -> bool:
    """Whether kdrun trains this teacher: said by `teacher.fine_tune`, else whether it lacks a head."""
    if options.fine_tune is FineTune.auto:
        return not built.has_head
    return options.fine_tune is FineTune.always


def load_or_finetune(
    built: ModelBundle,
    context: BuildContext,
    setting: TeacherEvaluation,
    lessons: TeacherTrainingSet,
    observer: TrainerCallback,
    keeper: CheckpointManager | None = None,
) -> FineTunedTeacher:
    """The teacher fine-tuned on the task, from the cache when it is there.

    Args:
        built: the model before it; trained in place where the cache has none.
        context: as it was built with.
        setting: the dev rows that its checkpoint is chosen on.
        lessons: its training rows.
        observer: is told of its steps.
        keeper: of the checkpoints that an interrupted fine-tuning goes on from; they go when it has ended.
    """
    options: TeacherOptions = setting.config.teacher

    def build(folder: Path) -> None:
        report = _fine_tune(built, setting, lessons, observer, folder, keeper)
        saving.save_pretrained(built.model, built.tokenizer, folder)
        (folder / "training.json").write_text(json.dumps(to_plain(report), indent=1))
        memory.release_memory()  # or gradients, moments and activations stay beside all that follows

    key = {
        "format": 1,
        "base": built.fingerprint,
        "train": lessons.tokens.fingerprint,
        "labels": lessons.fingerprint,
        "dev": {split: table.fingerprint for split, table in setting.watched.items()},
        "optim": {CACHED_NAMES.get(name, name): value for name, value in to_plain(options.finetune_optim).items()},
        "seed": options.seed,
        "precision": setting.config.runtime.precision.value,
        "device": setting.accelerator.device.type,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    if lessons.strategy_class is not None:
        extras = {name: hashing.digest(values.tolist()) for name, values in lessons.extras.items()}
        key |= {"lessons": lessons.strategy_class.cache_name, "settings": to_plain(options.meta), "extras": extras}
    # what was just trained is read back too, so that a first and a second run use the very same bytes
    taught, hit = cache.fetch(
        "teachers", key, build, lambda folder: _read(folder, built.name, context, options, lessons)
    )
    if keeper is not None:
        checkpoint_files.delete_checkpoints(keeper.place, newest=True)
    for module in (taught.built.model, *taught.modules.values()):
        module.to(setting.accelerator.device).requires_grad_(False).eval()
    return replace(taught, from_cache=hit)


def _read(
    folder: Path, name: str, context: BuildContext, options: TeacherOptions, lessons: TeacherTrainingSet
) -> FineTunedTeacher:
    """A teacher from its entry of the cache, under the name that it was built with."""
    place = PretrainedConfig(name="pretrained", path=str(folder), hub="")
    loaded = registry.build("teacher", "pretrained", place, context)
    modules: dict[str, nn.Module] = {}
    fingerprint = loaded.fingerprint
    if lessons.strategy_class is not None:
        modules = lessons.strategy_class.load_for_domain(loaded.model, folder, lessons.target, options.meta)
        fingerprint = built_fingerprint(loaded.model, loaded.tokenizer)
    report = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    return FineTunedTeacher(replace(loaded, name=name, fingerprint=fingerprint), True, modules, report.get("rows_read"))


def _fine_tune(
    built: ModelBundle,
    setting: TeacherEvaluation,
    lessons: TeacherTrainingSet,
    observer: TrainerCallback,
    folder: Path,
    keeper: CheckpointManager | None,
) -> dict[str, Any]:
    options: TeacherOptions = setting.config.teacher
    task, device = setting.config.task, setting.accelerator.device
    hard = setting.evaluator.task_type.hard_loss
    parts = MethodContext({"student": built.model.to(device)}, task, None, hard, options.seed, device)
    if lessons.strategy_class is not None:
        method: Method = lessons.strategy_class(options.meta, parts, np.unique(lessons.extras["domain"]).tolist())
    else:
        entry = registry.get("method", "finetune")
        assert entry.config is not None
        method = entry.target(entry.config(), parts)

    def evaluate() -> tuple[float | None, dict[str, Any]]:
        scores = setting.evaluator.score(_dev_outputs(built, setting, method))
        return setting.evaluator.headline(scores), scores

    runtime = setting.config.runtime
    feed = BatchLoader(
        {"student": lessons.tokens}, lessons.labels, device, extras=lessons.extras, targets=lessons.targets
    )
    loop = Trainer(
        method,
        method.phases(method.config, options.finetune_optim),
        feed,
        TrainerSettings(options.finetune_optim, options.seed, runtime.log_every, runtime.eval_every),
        setting.accelerator,
        evaluate,
        observer,
        keeper,
    )
    outcome = loop.run()
    if isinstance(method, DomainTeacherMethod):
        method.save_extra_modules(folder)
    report = {"best": outcome.best, "best_step": outcome.best_step, "train_seconds": outcome.train_seconds}
    return report | {"rows_read": _rows_read(feed, lessons, setting.config.task.domains)}


def _rows_read(feed: BatchLoader, lessons: TeacherTrainingSet, domains: list[str]) -> dict[str, int]:
    """How many different rows were handed out: in all, and of each domain where rows have one."""
    counts = {"all": feed.num_rows_seen("train")}
    if lessons.domains is not None:
        counts |= {name: int((lessons.domains[feed.rows_seen] == k).sum()) for k, name in enumerate(domains)}
    return counts


def _dev_outputs(built: ModelBundle, setting: TeacherEvaluation, method: Method) -> dict[str, Outputs]:
    """What a teacher in training says of the watched splits; one that learns by domain says it its own way."""
    if not isinstance(method, DomainTeacherMethod):
        return {name: setting.evaluator.outputs(built, table) for name, table in setting.watched.items()}
    domains = setting.evaluator.domains
    return {
        name: method.logits(setting.evaluator.predictor, table, domains[name])
        for name, table in setting.watched.items()
    }
