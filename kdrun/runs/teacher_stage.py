"""Prepare the teacher: training rows, fine-tuning, evaluation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kdrun.config import domains
from kdrun.config.resolve import resolve_domain_strategy
from kdrun.config.teacher import DomainStrategy
from kdrun.data import run_data
from kdrun.data.dataset import TaskDataset
from kdrun.data.tokenization import TokenizedSplit, tokenize
from kdrun.errors import ConfigError
from kdrun.methods.domain_teachers.transferability import transferability
from kdrun.models.domain_embedding import DomainClassifier
from kdrun.runs import build, summary
from kdrun.runs.context import RunContext
from kdrun.tasks.evaluator import Evaluator
from kdrun.training.progress import ProgressCallback
from kdrun.training.teacher import answers, embeddings, finetune, quality


def prepare_teacher(run: RunContext) -> None:
    """Fine-tune or fetch the teacher, score it, refuse one that knows nothing."""
    config, built = run.config, run.roles["teacher"]
    setting = build.teacher_evaluation(run)
    is_real = run.is_check or not config.dry_run
    wants = finetune.needs_finetuning(config.teacher, built)
    kind = resolve_domain_strategy(config, run.requires)
    if kind in (DomainStrategy.multi_task, DomainStrategy.meta) and not wants:
        raise ConfigError(
            [
                f"teacher.domain_strategy={kind.value} is a way of fine-tuning, and the teacher {built.name} has its "
                "head already: give its base model, or teacher.fine_tune=always"
            ]
        )
    if wants and is_real:
        fine_tune(run, kind)
    run.roles["teacher"].model.requires_grad_(False).eval()
    if not is_real:
        _dry_run_placeholder(run)
        return
    run.teacher_outputs = setting.outputs(run.roles["teacher"])
    run.teacher_scores = run.evaluator.score(run.teacher_outputs)
    summary.print_notes(run, "teacher", run.teacher_outputs)
    warning = quality.check_teacher_quality(run.teacher_scores, setting)
    if warning:
        run.console.warning(warning)


def _dry_run_placeholder(run: RunContext) -> None:
    """What a dry run takes for a meta-teacher's own, whose values no step of it depends on."""
    if not run.requires.meta_teacher:
        return
    built, options = run.roles["teacher"], run.config.teacher.meta
    branch = DomainClassifier(built.model.config.hidden_size, len(run.config.task.domains), options.dropout)
    branch.to(run.accelerator.device).requires_grad_(False).eval()
    run.finetuned_teacher = finetune.FineTunedTeacher(built, False, {"domain_branch": branch}, None)
    run.transferability = np.ones(run.data.student_rows.num_rows, np.float32)


def fine_tune(run: RunContext, kind: DomainStrategy | None) -> None:
    """Fine-tune the teacher, or find it in the cache; afterwards it is in its role."""
    config, built = run.config, run.roles["teacher"]
    rows = teacher_rows(run, kind)
    watcher = ProgressCallback(run.console, "teacher", config.task.headline, config.task.dev_splits[0])
    try:
        lessons, context = teacher_training_set(run, rows, kind), build.build_context(run, "teacher")
        keeper = build.make_checkpoint_manager(run, "teacher", save_final=False)
        run.finetuned_teacher = finetune.load_or_finetune(built, context, _setting(run, rows), lessons, watcher, keeper)
    finally:
        watcher.close()
    found = "read from the cache" if run.finetuned_teacher.from_cache else "fine-tuned and kept in the cache"
    of = "" if kind is None else f" (lessons: {kind.value}, on {rows.display_name})"
    run.console.print(f"teacher {found}{of}")
    run.roles["teacher"] = run.finetuned_teacher.built


def teacher_rows(run: RunContext, kind: DomainStrategy | None) -> TaskDataset:
    """The rows that the teacher is fine-tuned on, and the dev rows that its checkpoint is chosen on.

    In a run on other text they are read here, for the teacher alone, and let go with it.
    """
    if not run.trains_on_task_rows:
        return run_data.load_task_data(run.config)
    whole = run.data.all_domains
    if whole is None or kind in (None, DomainStrategy.single):
        return run.data
    target = domains.target_domain(run.config.method)
    held_out = getattr(run.config.method, "hold_out_domain", False)
    return whole.without_domain(target) if held_out and target is not None else whole


def teacher_training_set(
    run: RunContext, rows: TaskDataset, kind: DomainStrategy | None
) -> finetune.TeacherTrainingSet:
    """The teacher's training rows, with what its lessons want of each; the student's are weighed on the way."""
    train = rows.train
    target = domains.target_domain(run.config.method)
    index = None if target is None else run.config.task.domains.index(target)
    labels, targets = train.labels(), None
    if run.evaluator.task_type.generates_text:
        built, limit = run.roles["teacher"], run.config.task.answer_tokens
        labels, targets = None, answers.target_sequences(labels.tolist(), built, limit, gold=True)
    made = finetune.TeacherTrainingSet(
        _tokens(run, rows, "train"), labels, targets, kind, train.domains(), target=index
    )
    if kind is not DomainStrategy.meta:
        return made
    of_teacher, of_student = _transferability(run, rows)
    run.transferability = of_student
    return replace(made, transferability=of_teacher)


def _transferability(run: RunContext, rows: TaskDataset) -> tuple[np.ndarray, np.ndarray]:
    """t(x) of the teacher's rows, among themselves, and of the student's rows, among those of all domains.

    A teacher whose student's domain is held out knows no prototype of it; its student's rows have their own.
    """
    task, options, whole = run.config.task, run.config.teacher.meta, run.data.all_domains or run.data
    table = _tokens(run, whole, "train")
    states = embeddings.cached_embeddings(run.roles["teacher"], table, run.accelerator)
    labels, ids = whole.train.labels(), whole.train.domains()
    assert ids is not None
    count = (len(task.domains), len(task.labels))

    def among(chosen: np.ndarray) -> np.ndarray:
        parts = np.asarray(states[chosen], np.float64), labels[chosen], ids[chosen]
        return transferability(*parts, count, options.prototypes, options.own_weight)

    seen, own = (np.isin(ids, _present(part)) for part in (rows, run.data))
    everything = among(np.arange(len(ids)))
    return (everything if seen.all() else among(np.flatnonzero(seen))), everything[own]


def _present(rows: TaskDataset) -> np.ndarray:
    """The domains that training rows are of."""
    ids = rows.train.domains()
    assert ids is not None
    return np.unique(ids)


def _tokens(run: RunContext, rows: TaskDataset, split: str) -> TokenizedSplit:
    if rows is run.data:
        return run.tokens("teacher")[split]
    built = run.roles["teacher"]
    return tokenize(rows.splits[split], built.tokenizer, run.config.data.max_length, built.prompts)


def _setting(run: RunContext, rows: TaskDataset) -> finetune.TeacherEvaluation:
    """Where the teacher is scored while it learns: on dev rows of the domains that it learns."""
    if rows is run.data or not run.trains_on_task_rows:
        return build.teacher_evaluation(run)
    splits = {name: rows.splits[name] for name in run.config.task.eval_splits_during_training}
    evaluator = Evaluator.for_splits(run.config.task, splits, run.evaluator.predictor)
    tokens = {name: _tokens(run, rows, name) for name in splits}
    return finetune.TeacherEvaluation(run.config, tokens, evaluator, run.accelerator)
