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
    """Training rows of a teacher, and its strategy for several domains.

    Attributes:
        tokens: of the rows.
        labels: the gold labels; None for a task that is answered with text.
        targets: the gold answers of such a task.
        kind: domain strategy; None for a task without domains.
        domains: index of each row's domain, where rows have one.
        transferability: t(x) of each row, for a meta-teacher.
        target: the student's domain, for a strategy that trains several teachers at once.
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
        """Hash of the labels or answers."""
        if self.targets is not None:
            return self.targets.fingerprint
        assert self.labels is not None
        return hashing.digest([float(x) for x in self.labels])

    @property
    def strategy_class(self) -> type[DomainTeacherMethod] | None:
        """The method of the strategy; None for plain fine-tuning."""
        return None if self.kind is None else STRATEGY_CLASSES.get(self.kind)

    @property
    def extras(self) -> dict[str, np.ndarray]:
        """Values per row that batches carry for the strategy."""
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
        from_cache: whether the cache had it.
        modules: additional modules of the teacher, by the role under which methods find them.
        rows_read: number of different rows that its fine-tuning read, in all and per domain; None for an older
            cache entry without it.
    """

    built: ModelBundle
    from_cache: bool
    modules: dict[str, nn.Module]
    rows_read: dict[str, int] | None


@dataclass(frozen=True)
class TeacherEvaluation:
    """The run's config, the teacher's dev tokens and the evaluator."""

    config: RunConfig
    dev: dict[str, TokenizedSplit]
    evaluator: Evaluator
    accelerator: Accelerator

    @property
    def watched(self) -> dict[str, TokenizedSplit]:
        """Dev tokens of the splits that are evaluated during training."""
        return {split: self.dev[split] for split in self.config.task.eval_splits_during_training}

    def outputs(self, built: ModelBundle) -> dict[str, Outputs]:
        """The model's outputs on every dev split."""
        return {split: self.evaluator.outputs(built, table) for split, table in self.dev.items()}


def needs_finetuning(options: TeacherOptions, built: ModelBundle) -> bool:
    """Whether kdrun trains this teacher: by `teacher.fine_tune`, or because it lacks a head."""
    if options.fine_tune is FineTune.auto:
        return not built.has_head
    return options.fine_tune is FineTune.always


def load_or_finetune(
    built: ModelBundle,
    context: BuildContext,
    evaluation: TeacherEvaluation,
    training_set: TeacherTrainingSet,
    callback: TrainerCallback,
    checkpoints: CheckpointManager | None = None,
) -> FineTunedTeacher:
    """Fetch the teacher fine-tuned on the task from the cache, or fine-tune it.

    Args:
        built: the base model; trained in place unless the cache has the teacher.
        context: that it was built with.
        evaluation: dev rows that choose its checkpoint.
        training_set: its training rows.
        callback: receives the events of its training.
        checkpoints: checkpoints of an interrupted fine-tuning; deleted at its end.
    """
    options: TeacherOptions = evaluation.config.teacher

    def build(folder: Path) -> None:
        report = _fine_tune(built, evaluation, training_set, callback, folder, checkpoints)
        saving.save_pretrained(built.model, built.tokenizer, folder)
        (folder / "training.json").write_text(json.dumps(to_plain(report), indent=1))
        memory.release_memory()  # otherwise gradients, moments and activations stay allocated

    key = {
        "format": 1,
        "base": built.fingerprint,
        "train": training_set.tokens.fingerprint,
        "labels": training_set.fingerprint,
        "dev": {split: table.fingerprint for split, table in evaluation.watched.items()},
        "optim": {CACHED_NAMES.get(name, name): value for name, value in to_plain(options.finetune_optim).items()},
        "seed": options.seed,
        "precision": evaluation.config.runtime.precision.value,
        "device": evaluation.accelerator.device.type,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    if training_set.strategy_class is not None:
        extras = {name: hashing.digest(values.tolist()) for name, values in training_set.extras.items()}
        key |= {"lessons": training_set.strategy_class.cache_name, "settings": to_plain(options.meta), "extras": extras}
    # a teacher that was just trained is read back too, so that both runs use the same bytes
    teacher, hit = cache.fetch(
        "teachers", key, build, lambda folder: _read(folder, built.name, context, options, training_set)
    )
    if checkpoints is not None:
        checkpoint_files.delete_checkpoints(checkpoints.place, newest=True)
    for module in (teacher.built.model, *teacher.modules.values()):
        module.to(evaluation.accelerator.device).requires_grad_(False).eval()
    return replace(teacher, from_cache=hit)


def _read(
    folder: Path, name: str, context: BuildContext, options: TeacherOptions, training_set: TeacherTrainingSet
) -> FineTunedTeacher:
    """Read a teacher from its cache entry, with the name of its base model."""
    place = PretrainedConfig(name="pretrained", path=str(folder), hub="")
    loaded = registry.build("teacher", "pretrained", place, context)
    modules: dict[str, nn.Module] = {}
    fingerprint = loaded.fingerprint
    if training_set.strategy_class is not None:
        modules = training_set.strategy_class.load_for_domain(loaded.model, folder, training_set.target, options.meta)
        fingerprint = built_fingerprint(loaded.model, loaded.tokenizer)
    report = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    return FineTunedTeacher(replace(loaded, name=name, fingerprint=fingerprint), True, modules, report.get("rows_read"))


def _fine_tune(
    built: ModelBundle,
    evaluation: TeacherEvaluation,
    training_set: TeacherTrainingSet,
    callback: TrainerCallback,
    folder: Path,
    checkpoints: CheckpointManager | None,
) -> dict[str, Any]:
    options: TeacherOptions = evaluation.config.teacher
    task, device = evaluation.config.task, evaluation.accelerator.device
    hard = evaluation.evaluator.task_type.hard_loss
    parts = MethodContext({"student": built.model.to(device)}, task, None, hard, options.seed, device)
    if training_set.strategy_class is not None:
        method: Method = training_set.strategy_class(
            options.meta, parts, np.unique(training_set.extras["domain"]).tolist()
        )
    else:
        entry = registry.get("method", "finetune")
        assert entry.config is not None
        method = entry.target(entry.config(), parts)

    def evaluate() -> tuple[float | None, dict[str, Any]]:
        scores = evaluation.evaluator.score(_dev_outputs(built, evaluation, method))
        return evaluation.evaluator.headline(scores), scores

    runtime = evaluation.config.runtime
    loader = BatchLoader(
        {"student": training_set.tokens},
        training_set.labels,
        device,
        extras=training_set.extras,
        targets=training_set.targets,
    )
    trainer = Trainer(
        method,
        method.phases(method.config, options.finetune_optim),
        loader,
        TrainerSettings(options.finetune_optim, options.seed, runtime.log_every, runtime.eval_every),
        evaluation.accelerator,
        evaluate,
        callback,
        checkpoints,
    )
    result = trainer.run()
    if isinstance(method, DomainTeacherMethod):
        method.save_extra_modules(folder)
    report = {"best": result.best, "best_step": result.best_step, "train_seconds": result.train_seconds}
    return report | {"rows_read": _rows_read(loader, training_set, evaluation.config.task.domains)}


def _rows_read(loader: BatchLoader, training_set: TeacherTrainingSet, domains: list[str]) -> dict[str, int]:
    """Number of different rows that were read: in all, and per domain if rows have one."""
    counts = {"all": loader.num_rows_seen("train")}
    if training_set.domains is not None:
        counts |= {name: int((training_set.domains[loader.rows_seen] == k).sum()) for k, name in enumerate(domains)}
    return counts


def _dev_outputs(built: ModelBundle, evaluation: TeacherEvaluation, method: Method) -> dict[str, Outputs]:
    """Outputs of a teacher in training on the splits that choose its checkpoint."""
    if not isinstance(method, DomainTeacherMethod):
        return {name: evaluation.evaluator.outputs(built, table) for name, table in evaluation.watched.items()}
    domains = evaluation.evaluator.domains
    return {
        name: method.logits(evaluation.evaluator.predictor, table, domains[name])
        for name, table in evaluation.watched.items()
    }
