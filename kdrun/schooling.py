"""A run's teacher before its student's training: the rows it is fine-tuned on, by which lessons, and its score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kdrun import assembly, summary, task_rows, teacher, writing
from kdrun.assembly import Run
from kdrun.data import domains
from kdrun.data.sources import TaskData
from kdrun.data.tokens import TokenTable, tokenize
from kdrun.errors import ConfigError
from kdrun.evaluation import Evaluator
from kdrun.screen import Watcher
from kdrun.teachers import encoding
from kdrun.teachers.config import TeacherLessons, lessons_of
from kdrun.teachers.domain_branch import DomainBranch
from kdrun.teachers.transfer import transferability


def teach(this: Run) -> None:
    """Fine-tune or fetch the teacher, score it, refuse one that knows nothing."""
    config, built = this.config, this.roles["teacher"]
    setting = assembly.teaching(this)
    is_real = this.is_check or not config.dry_run
    wants = teacher.wants_fine_tuning(config.teacher, built)
    kind = lessons_of(config, this.needs)
    if kind in (TeacherLessons.multi_task, TeacherLessons.meta) and not wants:
        raise ConfigError(
            [
                f"teacher.lessons={kind.value} is a way of fine-tuning, and the teacher {built.name} has its head "
                "already: give its base model, or teacher.fine_tune=always"
            ]
        )
    if wants and is_real:
        fine_tune(this, kind)
    this.roles["teacher"].model.requires_grad_(False).eval()
    if not is_real:
        _stand_in(this)
        return
    this.teacher_outputs = setting.outputs(this.roles["teacher"])
    this.teacher_scores = this.evaluator.score(this.teacher_outputs)
    summary.remark(this, "teacher", this.teacher_outputs)
    warning = teacher.refuse_weak(this.teacher_scores, setting)
    if warning:
        this.screen.warn(warning)


def _stand_in(this: Run) -> None:
    """What a dry run takes for a meta-teacher's own, whose values no step of it depends on."""
    if not this.needs.meta_teacher:
        return
    built, options = this.roles["teacher"], this.config.teacher.meta
    branch = DomainBranch(built.model.config.hidden_size, len(this.config.task.domains), options.dropout)
    branch.to(this.accelerator.device).requires_grad_(False).eval()
    this.taught = teacher.Taught(built, False, {"domain_branch": branch}, None)
    this.transferability = np.ones(this.data.lessons.num_rows, np.float32)


def fine_tune(this: Run, kind: TeacherLessons | None) -> None:
    """Fine-tune the teacher, or find it in the cache; afterwards it is in its role."""
    config, built = this.config, this.roles["teacher"]
    rows = rows_of(this, kind)
    watcher = Watcher(this.screen, "teacher", config.task.headline, config.task.dev_splits[0])
    try:
        lessons, context = lessons_from(this, rows, kind), assembly.context(this, "teacher")
        keeper = assembly.keeper(this, "teacher")
        this.taught = teacher.fine_tuned(built, context, _setting(this, rows), lessons, watcher, keeper)
    finally:
        watcher.close()
    found = "read from the cache" if this.taught.from_cache else "fine-tuned and kept in the cache"
    of = "" if kind is None else f" (lessons: {kind.value}, on {rows.display_name})"
    this.screen.say(f"teacher {found}{of}")
    this.roles["teacher"] = this.taught.built


def rows_of(this: Run, kind: TeacherLessons | None) -> TaskData:
    """The rows that the teacher is fine-tuned on, and the dev rows that its checkpoint is chosen on.

    In a run on other text they are read here, for the teacher alone, and let go with it.
    """
    if not this.learns_from_task:
        return task_rows.of_task(this.config)
    whole = this.data.whole
    if whole is None or kind in (None, TeacherLessons.single):
        return this.data
    target = domains.target(this.config.method)
    held_out = getattr(this.config.method, "hold_out_domain", False)
    return whole.without_domain(target) if held_out and target is not None else whole


def lessons_from(this: Run, rows: TaskData, kind: TeacherLessons | None) -> teacher.Lessons:
    """The teacher's training rows, with what its lessons want of each; the student's are weighed on the way."""
    train = rows.train
    target = domains.target(this.config.method)
    index = None if target is None else this.config.task.domains.index(target)
    labels, targets = train.labels(), None
    if this.evaluator.kind.writes:
        built, limit = this.roles["teacher"], this.config.task.answer_tokens
        labels, targets = None, writing.targets(labels.tolist(), built, limit, gold=True)
    made = teacher.Lessons(_tokens(this, rows, "train"), labels, targets, kind, train.domains(), target=index)
    if kind is not TeacherLessons.meta:
        return made
    of_teacher, of_student = _transferability(this, rows)
    this.transferability = of_student
    return replace(made, transferability=of_teacher)


def _transferability(this: Run, rows: TaskData) -> tuple[np.ndarray, np.ndarray]:
    """t(x) of the teacher's rows, among themselves, and of the student's rows, among those of all domains.

    A teacher whose student's domain is held out knows no prototype of it; its student's rows have their own.
    """
    task, options, whole = this.config.task, this.config.teacher.meta, this.data.whole or this.data
    table = _tokens(this, whole, "train")
    states = encoding.states(this.roles["teacher"], table, this.accelerator, this.screen.say)
    labels, ids = whole.train.labels(), whole.train.domains()
    assert ids is not None
    count = (len(task.domains), len(task.labels))

    def among(chosen: np.ndarray) -> np.ndarray:
        parts = np.asarray(states[chosen], np.float64), labels[chosen], ids[chosen]
        return transferability(*parts, count, options.prototypes, options.own_weight)

    seen, own = (np.isin(ids, _present(part)) for part in (rows, this.data))
    everything = among(np.arange(len(ids)))
    return (everything if seen.all() else among(np.flatnonzero(seen))), everything[own]


def _present(rows: TaskData) -> np.ndarray:
    """The domains that training rows are of."""
    ids = rows.train.domains()
    assert ids is not None
    return np.unique(ids)


def _tokens(this: Run, rows: TaskData, split: str) -> TokenTable:
    if rows is this.data:
        return assembly.tokens(this, "teacher")[split]
    built = this.roles["teacher"]
    return tokenize(rows.splits[split], built.tokenizer, this.config.data.max_length, built.prompts)


def _setting(this: Run, rows: TaskData) -> teacher.Setting:
    """Where the teacher is scored while it learns: on dev rows of the domains that it learns."""
    if rows is this.data or not this.learns_from_task:
        return assembly.teaching(this)
    names = this.config.task.watched_splits
    labels = {name: rows.splits[name].labels() for name in names}
    ids = {name: found for name in names if (found := rows.splits[name].domains()) is not None}
    evaluator = Evaluator(this.config.task, labels, this.accelerator, this.config.runtime.eval_batch_size, ids)
    return teacher.Setting(this.config, {n: _tokens(this, rows, n) for n in names}, evaluator, this.accelerator)
