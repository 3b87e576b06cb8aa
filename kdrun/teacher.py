"""Teachers: fine-tuned once by the same loop, kept in the cache, scored, and refused when they know nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from accelerate import Accelerator
from torch import nn

from kdrun import cache, checkpoint, memory, registry
from kdrun.config import Config, FineTune, PretrainedConfig, TeacherOptions
from kdrun.data.feed import Feed
from kdrun.data.targets import Targets
from kdrun.data.tokens import TokenTable
from kdrun.errors import TrainingError
from kdrun.evaluation import Evaluator, Scores
from kdrun.keeper import Keeper
from kdrun.kinds.base import Outputs
from kdrun.loop import Loop, Observer, Settings
from kdrun.method import Method, Parts
from kdrun.models import loading
from kdrun.models.built import BuildContext, Built
from kdrun.models.built import model_fingerprint as built_fingerprint
from kdrun.results import plain
from kdrun.teachers.config import TeacherLessons
from kdrun.teachers.lessons import DomainTeaching
from kdrun.teachers.meta import Meta
from kdrun.teachers.multi_task import MultiTask

NEAR_CHANCE = 0.02
"""A teacher must beat the constant guess by this much on the headline metric (metrics run from 0 to 1)."""


@dataclass(frozen=True)
class Lessons:
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

    tokens: TokenTable
    labels: np.ndarray | None
    targets: Targets | None = None
    kind: TeacherLessons | None = None
    domains: np.ndarray | None = None
    transferability: np.ndarray | None = None
    target: int | None = None

    @property
    def fingerprint(self) -> str:
        """Changes with the answers that are learnt."""
        if self.targets is not None:
            return self.targets.fingerprint
        assert self.labels is not None
        return cache.digest([float(x) for x in self.labels])

    @property
    def way(self) -> type[DomainTeaching] | None:
        """What fine-tunes the teacher, where it is more than the classifier's own loss."""
        return None if self.kind is None else WAYS.get(self.kind)

    @property
    def extras(self) -> dict[str, np.ndarray]:
        """What batches carry for such a way."""
        if self.way is None:
            return {}
        found = {"domain": self.domains, "transferability": self.transferability}
        return {name: values for name, values in found.items() if values is not None}


WAYS: dict[TeacherLessons, type[DomainTeaching]] = {TeacherLessons.multi_task: MultiTask, TeacherLessons.meta: Meta}


@dataclass(frozen=True)
class Taught:
    """A fine-tuned teacher.

    Attributes:
        built: the model, frozen.
        from_cache: whether it was there already.
        modules: that belong to it, by the role that methods know them by.
        rows_read: how many different rows its fine-tuning read, of each domain where rows have one; None for one
            of an older cache entry, which does not say.
    """

    built: Built
    from_cache: bool
    modules: dict[str, nn.Module]
    rows_read: dict[str, int] | None


@dataclass(frozen=True)
class Setting:
    """Where teachers work: the run's config, dev tokens as the teacher reads them, and the evaluator."""

    config: Config
    dev: dict[str, TokenTable]
    evaluator: Evaluator
    accelerator: Accelerator

    @property
    def watched(self) -> dict[str, TokenTable]:
        """Dev tokens of the splits that are scored while training."""
        return {split: self.dev[split] for split in self.config.task.watched_splits}

    def outputs(self, built: Built) -> dict[str, Outputs]:
        """What the model says of every dev split."""
        return {split: self.evaluator.outputs(built, table) for split, table in self.dev.items()}


def wants_fine_tuning(options: TeacherOptions, built: Built) -> bool:
    """Whether kdrun trains this teacher: said by `teacher.fine_tune`, else whether it lacks a head."""
    if options.fine_tune is FineTune.auto:
        return not built.has_head
    return options.fine_tune is FineTune.always


def fine_tuned(
    built: Built,
    context: BuildContext,
    setting: Setting,
    lessons: Lessons,
    observer: Observer,
    keeper: Keeper | None = None,
) -> Taught:
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
        loading.save(built.model, built.tokenizer, folder)
        (folder / "training.json").write_text(json.dumps(plain(report), indent=1))
        memory.give_back()  # or gradients, moments and activations stay beside all that follows

    key = {
        "format": 1,
        "base": built.fingerprint,
        "train": lessons.tokens.fingerprint,
        "labels": lessons.fingerprint,
        "dev": {split: table.fingerprint for split, table in setting.watched.items()},
        "optim": plain(options.fine_tuning),
        "seed": options.seed,
        "precision": setting.config.runtime.precision.value,
        "device": setting.accelerator.device.type,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    if lessons.way is not None:
        extras = {name: cache.digest(values.tolist()) for name, values in lessons.extras.items()}
        key |= {"lessons": lessons.way.__name__, "settings": plain(options.meta), "extras": extras}
    # what was just trained is read back too, so that a first and a second run use the very same bytes
    taught, hit = cache.fetch(
        "teachers", key, build, lambda folder: _read(folder, built.name, context, options, lessons)
    )
    if keeper is not None:
        checkpoint.drop(keeper.place, newest=True)
    for module in (taught.built.model, *taught.modules.values()):
        module.to(setting.accelerator.device).requires_grad_(False).eval()
    return replace(taught, from_cache=hit)


def _read(folder: Path, name: str, context: BuildContext, options: TeacherOptions, lessons: Lessons) -> Taught:
    """A teacher from its entry of the cache, under the name that it was built with."""
    place = PretrainedConfig(name="pretrained", path=str(folder), hub="")
    loaded = registry.build("teacher", "pretrained", place, context)
    modules: dict[str, nn.Module] = {}
    fingerprint = loaded.fingerprint
    if lessons.way is not None:
        modules = lessons.way.part(loaded.model, folder, lessons.target, options.meta)
        fingerprint = built_fingerprint(loaded.model, loaded.tokenizer)
    report = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    return Taught(replace(loaded, name=name, fingerprint=fingerprint), True, modules, report.get("rows_read"))


def _fine_tune(
    built: Built, setting: Setting, lessons: Lessons, observer: Observer, folder: Path, keeper: Keeper | None
) -> dict[str, Any]:
    options: TeacherOptions = setting.config.teacher
    task, device = setting.config.task, setting.accelerator.device
    hard = setting.evaluator.kind.hard_loss
    parts = Parts({"student": built.model.to(device)}, task, None, hard, options.seed, device)
    if lessons.way is not None:
        method: Method = lessons.way(options.meta, parts, np.unique(lessons.extras["domain"]).tolist())
    else:
        entry = registry.get("method", "finetune")
        assert entry.config is not None
        method = entry.target(entry.config(), parts)

    def evaluate() -> tuple[float | None, dict[str, Any]]:
        scores = setting.evaluator.score(_dev_outputs(built, setting, method))
        return setting.evaluator.headline(scores), scores

    runtime = setting.config.runtime
    feed = Feed({"student": lessons.tokens}, lessons.labels, device, extras=lessons.extras, targets=lessons.targets)
    loop = Loop(
        method,
        method.phases(options.fine_tuning),
        feed,
        Settings(options.fine_tuning, options.seed, runtime.log_every, runtime.eval_every),
        setting.accelerator,
        evaluate,
        observer,
        keeper,
    )
    outcome = loop.run()
    if isinstance(method, DomainTeaching):
        method.finish(folder)
    report = {"best": outcome.best, "best_step": outcome.best_step, "train_seconds": outcome.train_seconds}
    return report | {"rows_read": _rows_read(feed, lessons, setting.config.task.domains)}


def _rows_read(feed: Feed, lessons: Lessons, domains: list[str]) -> dict[str, int]:
    """How many different rows were handed out: in all, and of each domain where rows have one."""
    counts = {"all": feed.rows_read("train")}
    if lessons.domains is not None:
        counts |= {name: int((lessons.domains[feed.was_read] == k).sum()) for k, name in enumerate(domains)}
    return counts


def _dev_outputs(built: Built, setting: Setting, method: Method) -> dict[str, Outputs]:
    """What a teacher in training says of the watched splits; one that learns by domain says it its own way."""
    if not isinstance(method, DomainTeaching):
        return {name: setting.evaluator.outputs(built, table) for name, table in setting.watched.items()}
    domains = setting.evaluator.domains
    return {name: method.logits(setting.evaluator, table, domains[name]) for name, table in setting.watched.items()}


def refuse_weak(scores: Scores, setting: Setting) -> str | None:
    """Compare the teacher with a constant guess on the headline metric of the split that chooses checkpoints.

    Returns:
        None for a teacher that knows something, else a warning when `teacher.allow_weak=true` lets it pass.

    Raises:
        TrainingError: the teacher is near the constant guess.
    """
    task, split = setting.config.task, setting.config.task.dev_splits[0]
    guess = setting.evaluator.guess()[split][task.headline] or 0.0
    value = scores[split][task.headline]
    if value is not None and value >= guess + NEAR_CHANCE:
        return None
    found = "undefined" if value is None else f"{value:.4f}"
    message = (
        f"the teacher's {task.headline} on {split} is {found}, a constant guess has {guess:.4f}: it has nothing "
        "to teach"
    )
    if setting.config.teacher.allow_weak:
        return f"{message} (allowed by teacher.allow_weak=true)"
    raise TrainingError(
        f"{message}. Train it longer (teacher.fine_tuning.epochs=…), give a better one (teacher.path=FOLDER), or "
        "go on all the same with teacher.allow_weak=true"
    )


def kept_logits(built: Built, tokens: TokenTable, setting: Setting, tell: Callable[[str], None]) -> np.ndarray:
    """The teacher's logits on unmodified text, computed once per (teacher, rows) and read back memory-mapped.

    Returns:
        [rows, outputs], float32, in row order.
    """
    precision = setting.config.runtime.precision.value
    key = {"format": 1, "teacher": built.fingerprint, "tokens": tokens.fingerprint, "precision": precision}
    key["device"] = setting.accelerator.device.type

    def build(folder: Path) -> None:
        tell(f"teacher scores the {tokens.num_rows} rows that the student learns from, once")
        np.save(folder / "logits.npy", setting.evaluator.logits(built.model, tokens))

    return cache.fetch("logits", key, build, lambda folder: np.load(folder / "logits.npy", mmap_mode="r"))[0]
