"""Fine-tune a teacher once and keep it in the cache."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from accelerate import Accelerator
from torch import nn

from kdrun import ranks, registry, sharding, stage_times
from kdrun.config.model import PretrainedConfig
from kdrun.config.optim import OptimConfig
from kdrun.config.schema import RunConfig
from kdrun.config.teacher import FineTune, TeacherOptions
from kdrun.data.loader import BatchLoader
from kdrun.data.tokenization import TokenizedSplit
from kdrun.methods.base import Method, MethodContext
from kdrun.methods.domain_teachers.base import DomainTeacherMethod
from kdrun.models import placement, saving
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.models.parameters import model_fingerprint
from kdrun.storage import cache, checkpoint_files, hashing, state_tensors
from kdrun.storage.checkpoint_manager import CheckpointManager
from kdrun.storage.json_reader import read_object
from kdrun.storage.serialization import to_plain
from kdrun.tasks.base import Outputs
from kdrun.tasks.evaluator import Evaluator
from kdrun.training import memory
from kdrun.training.callbacks import TrainerCallback
from kdrun.training.teacher.training_set import TeacherTrainingSet
from kdrun.training.trainer import Trainer, TrainerSettings

NAMESPACE = "teachers"
CACHED_NAMES = {"gradient_accumulation_steps": "accumulate", "max_grad_norm": "clip_norm"}
"""Optimizer settings with an older name in cache keys, so that cached teachers stay valid."""


@dataclass(frozen=True)
class FineTunedTeacher:
    """A fine-tuned teacher.

    Attributes:
        bundle: the model, frozen.
        from_cache: whether the teacher comes from the cache.
        modules: additional modules of the teacher, by the role under which methods find them.
        rows_read: number of different rows that the fine-tuning read, in total and per domain; None for an older
            cache entry without these counts.
    """

    bundle: ModelBundle
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
    def dev_during_training(self) -> dict[str, TokenizedSplit]:
        """Dev tokens of the splits that are evaluated during training."""
        return {split: self.dev[split] for split in self.config.task.eval_splits_during_training}

    def outputs(self, bundle: ModelBundle, splits: Sequence[str]) -> dict[str, Outputs]:
        """The model's outputs on these dev splits."""
        return {split: self.evaluator.outputs(bundle, self.dev[split]) for split in splits}


def needs_finetuning(options: TeacherOptions, bundle: ModelBundle) -> bool:
    """Whether kdrun trains this teacher: by `teacher.fine_tune`, or because the teacher has no head."""
    if options.fine_tune is FineTune.auto:
        return not bundle.has_head
    return options.fine_tune is FineTune.always


def load_or_finetune(
    bundle: ModelBundle,
    context: BuildContext,
    evaluation: TeacherEvaluation,
    training_set: TeacherTrainingSet,
    callback: TrainerCallback,
    checkpoints: CheckpointManager | None = None,
) -> FineTunedTeacher:
    """Fetch the teacher fine-tuned on the task from the cache, or fine-tune it.

    Args:
        bundle: the base model; trained in place unless the cache has the teacher.
        context: build context of the base model.
        evaluation: dev rows that choose the checkpoint.
        training_set: the teacher's training rows.
        callback: receives the events of the training.
        checkpoints: manager of the checkpoints, which are deleted at the end of the fine-tuning.
    """
    options: TeacherOptions = evaluation.config.teacher
    is_divided = sharding.is_sharded(bundle.model)

    def build(folder: Path) -> None:
        report = _fine_tune(bundle, evaluation, training_set, callback, folder, checkpoints)
        memory.release_memory()  # gradients, moments and activations, before the copies that saving makes
        with stage_times.stage(stage_times.FILES):
            saving.save_pretrained(bundle.model, bundle.tokenizer, folder, state_tensors.complete_tensors(bundle.model))
            (folder / "training.json").write_text(json.dumps(to_plain(report), indent=1))
        memory.release_memory()

    key = _cache_key(bundle, evaluation, training_set)
    # also read back a teacher that was just trained, so that both runs use the same bytes
    teacher, hit = cache.fetch(
        NAMESPACE,
        key,
        build,
        lambda folder: _read(folder, bundle.name, context, options, training_set),
        together=is_divided or options.finetune_optim.gradient_accumulation_steps >= ranks.size(),
    )
    if checkpoints is not None and ranks.is_first():
        checkpoint_files.delete_checkpoints(checkpoints.place, newest=True)
    _place(teacher, evaluation.accelerator.device, divide=is_divided)
    return replace(teacher, from_cache=hit)


def is_cached(bundle: ModelBundle, evaluation: TeacherEvaluation, training_set: TeacherTrainingSet) -> bool:
    """Whether the cache has the fine-tuned teacher; arguments as for `load_or_finetune`."""
    return cache.contains(NAMESPACE, _cache_key(bundle, evaluation, training_set))


def _cache_key(bundle: ModelBundle, evaluation: TeacherEvaluation, training_set: TeacherTrainingSet) -> dict[str, Any]:
    options: TeacherOptions = evaluation.config.teacher
    key = {
        "format": 1,
        "base": bundle.fingerprint,
        "train": training_set.tokens.fingerprint,
        "labels": training_set.fingerprint,
        "dev": {split: table.fingerprint for split, table in evaluation.dev_during_training.items()},
        "optim": _optim_key(options.finetune_optim),
        "seed": options.seed,
        "precision": evaluation.config.runtime.precision.value,
        "device": evaluation.accelerator.device.type,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    if training_set.strategy_class is not None:
        extras = {name: hashing.digest(values.tolist()) for name, values in training_set.extras.items()}
        key |= {"lessons": training_set.strategy_class.cache_name, "settings": to_plain(options.meta), "extras": extras}
    return key


def _place(teacher: FineTunedTeacher, device: torch.device, *, divide: bool) -> None:
    """Freeze a teacher on the device, or divided among the processes."""
    placement.place(teacher.bundle, device, "teacher", divide=divide)
    for module in (teacher.bundle.model, *(module.to(device) for module in teacher.modules.values())):
        module.requires_grad_(False).eval()


def _optim_key(optim: OptimConfig) -> dict[str, Any]:
    """The optimizer section in a cache key; `patience` is left out at its default, which older entries lack."""
    plain: dict[str, Any] = to_plain(optim)
    values = {CACHED_NAMES.get(name, name): value for name, value in plain.items()}
    if optim.patience is None:
        del values["patience"]
    return values


@stage_times.stage(stage_times.FILES)
def _read(
    folder: Path, name: str, context: BuildContext, options: TeacherOptions, training_set: TeacherTrainingSet
) -> FineTunedTeacher:
    """Read a teacher from its cache entry, with the name of its base model."""
    config = PretrainedConfig(name="pretrained", path=str(folder), hub="")
    loaded = registry.build("teacher", "pretrained", config, context)
    modules: dict[str, nn.Module] = {}
    fingerprint = loaded.fingerprint
    if training_set.strategy_class is not None:
        modules = training_set.strategy_class.load_for_domain(loaded.model, folder, training_set.target, options.meta)
        fingerprint = model_fingerprint(loaded.model, loaded.tokenizer)
    file = folder / "training.json"
    report = read_object(file.read_bytes(), {"rows_read?": ({"all": int, "*": int}, None)}, str(file))
    return FineTunedTeacher(replace(loaded, name=name, fingerprint=fingerprint), True, modules, report.get("rows_read"))


def _fine_tune(
    bundle: ModelBundle,
    evaluation: TeacherEvaluation,
    training_set: TeacherTrainingSet,
    callback: TrainerCallback,
    folder: Path,
    checkpoints: CheckpointManager | None,
) -> dict[str, Any]:
    options: TeacherOptions = evaluation.config.teacher
    task, device = evaluation.config.task, evaluation.accelerator.device
    hard_loss = evaluation.evaluator.task_type.hard_loss
    context = MethodContext({"student": bundle.model}, task, None, hard_loss, options.seed, device)
    if training_set.strategy_class is not None:
        method: Method = training_set.strategy_class(
            options.meta, context, np.unique(training_set.extras["domain"]).tolist()
        )
    else:
        entry = registry.get("method", "finetune")
        assert entry.config is not None
        method = entry.target(entry.config(), context)

    def evaluate() -> tuple[float | None, dict[str, Any]]:
        scores = evaluation.evaluator.score(_dev_outputs(bundle, evaluation, method))
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
    rows = evaluation.config.evaluation
    report |= {"task": task.name, "held_out": rows.held_out, "held_out_seed": rows.held_out_seed}
    report |= {} if rows.agreement_rows is None else {"agreement_rows": rows.agreement_rows}
    return report | {"rows_read": _rows_read(loader, training_set, evaluation.config.task.domains)}


def _rows_read(loader: BatchLoader, training_set: TeacherTrainingSet, domains: list[str]) -> dict[str, int]:
    """Number of different rows that were read: in total, and per domain if rows have domains."""
    counts = {"all": loader.num_rows_seen("train")}
    if training_set.domains is not None:
        counts |= {name: int((training_set.domains[loader.rows_seen] == k).sum()) for k, name in enumerate(domains)}
    return counts


def _dev_outputs(bundle: ModelBundle, evaluation: TeacherEvaluation, method: Method) -> dict[str, Outputs]:
    """Outputs of a teacher in training on the splits that are evaluated during training."""
    if not isinstance(method, DomainTeacherMethod):
        return {
            name: evaluation.evaluator.outputs(bundle, table) for name, table in evaluation.dev_during_training.items()
        }
    domains = evaluation.evaluator.domains
    return {
        name: method.logits(evaluation.evaluator.predictor, table, domains[name])
        for name, table in evaluation.dev_during_training.items()
    }
