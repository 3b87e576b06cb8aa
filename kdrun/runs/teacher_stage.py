"""Prepare the teacher: training rows, fine-tuning, evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from kdrun import stage_times
from kdrun.config import domains
from kdrun.config.resolve import resolve_domain_strategy
from kdrun.config.teacher import DomainStrategy
from kdrun.data import run_data
from kdrun.data.dataset import TaskDataset
from kdrun.data.recorded.teacher import RecordedTeacher
from kdrun.data.tokenization import TokenizedSplit, tokenize
from kdrun.errors import ConfigError
from kdrun.methods.domain_teachers.transferability import transferability
from kdrun.models.bundle import ModelBundle
from kdrun.models.domain_embedding import DomainClassifier
from kdrun.runs import build, summary
from kdrun.runs.context import PreparedRun, TeacherResult
from kdrun.storage.run_result import Scores
from kdrun.tasks.base import Outputs
from kdrun.tasks.evaluator import Evaluator
from kdrun.training.progress import ProgressCallback
from kdrun.training.teacher import answers, embeddings, finetune, logits, quality
from kdrun.training.teacher.training_set import TeacherTrainingSet


def prepare_teacher(run: PreparedRun) -> TeacherResult:
    """Fine-tune the teacher or load it from the cache, evaluate it, and refuse one that is too weak.

    It is evaluated on the splits that are evaluated during training; `score_held_out` adds the others at the end of the
    run. A dry run uses the teacher as it was built, without scores.

    Raises:
        ConfigError: a domain strategy is configured, and the teacher is not to be fine-tuned.
    """
    if run.recorded is not None:
        return _score_recorded(run, run.recorded)
    config, bundle = run.config, run.roles["teacher"]
    is_real = run.is_check or not config.dry_run
    needs_finetuning = finetune.needs_finetuning(config.teacher, bundle)
    strategy = resolve_domain_strategy(config, run.requires)
    if strategy in (DomainStrategy.multi_task, DomainStrategy.meta) and not needs_finetuning:
        raise ConfigError(
            [
                f"teacher.domain_strategy={strategy.value} is a way of fine-tuning, and the teacher {bundle.name} "
                "already has a head: use its base model, or teacher.fine_tune=always"
            ]
        )
    teacher = fine_tune(run, strategy) if needs_finetuning and is_real else TeacherResult(bundle)
    final = teacher.bundle or bundle
    final.model.requires_grad_(False).eval()
    return _evaluate(run, teacher, final) if is_real else _with_placeholders(run, teacher, final)


def _evaluate(run: PreparedRun, teacher: TeacherResult, bundle: ModelBundle) -> TeacherResult:
    """Score the teacher on the splits that are evaluated during training.

    Raises:
        TrainingError: the teacher is too weak to distill from.
    """
    outputs = _outputs(run, bundle, run.config.task.eval_splits_during_training)
    scores = run.evaluator.score(outputs)
    _check(run, outputs, scores)
    return replace(teacher, outputs=outputs, scores=scores)


def _check(run: PreparedRun, outputs: Mapping[str, Outputs], scores: Scores) -> None:
    """Print notes and warnings on the teacher's outputs, and refuse a weak teacher."""
    evaluation = build.teacher_evaluation(run)
    summary.print_notes(run, "teacher", outputs)
    for warning in (quality.check_teacher_quality(scores, evaluation), quality.scale_warning(outputs, evaluation)):
        if warning:
            run.console.warning(warning)


def _score_recorded(run: PreparedRun, recorded: RecordedTeacher) -> TeacherResult:
    """Score a recorded teacher on the splits that are evaluated during training.

    Raises:
        TrainingError: the teacher is too weak to distill from.
    """
    outputs, scores = _recorded_scores(run, recorded, run.config.task.eval_splits_during_training)
    if run.config.task.dev_splits[0] in outputs:
        _check(run, outputs, scores)
    return TeacherResult(None, outputs, scores, rows_read=None)


def _recorded_scores(
    run: PreparedRun, recorded: RecordedTeacher, splits: Sequence[str]
) -> tuple[dict[str, Outputs], Scores]:
    """Outputs and scores of a recorded teacher; the metrics of splits that its files do not cover are None."""
    outputs = {split: recorded.dev_logits[split] for split in splits if split in recorded.dev_logits}
    scores = run.evaluator.score(outputs)
    unknown = {split: dict.fromkeys(run.evaluator.split_baseline(split)) for split in splits if split not in outputs}
    return outputs, {split: (scores | unknown)[split] for split in splits}


def score_held_out(
    run: PreparedRun, teacher: TeacherResult | None, student: Mapping[str, Outputs] | None = None
) -> TeacherResult | None:
    """The teacher's result with the splits that are not evaluated during training, for the end of a run.

    Args:
        run: the run after the student's training.
        teacher: the teacher's result; None without a teacher.
        student: the student's outputs on the dev splits, for its agreement with the teacher; None without a student.
    """
    task = run.config.task
    splits = [split for split in task.dev_splits if split not in task.eval_splits_during_training]
    if teacher is None or teacher.scores is None:
        return teacher
    if run.recorded is not None:
        outputs, scores = _recorded_scores(run, run.recorded, splits)
    else:
        outputs = _outputs(run, run.roles["teacher"], splits)
        scores = run.evaluator.score(outputs)
    summary.print_notes(run, "teacher", outputs)
    outputs, scores = {**teacher.outputs, **outputs}, teacher.scores | scores
    in_order = [split for split in task.dev_splits if split in outputs]
    agree = run.evaluator.task_type.agreement
    return replace(
        teacher,
        outputs={split: outputs[split] for split in in_order},
        scores={split: scores[split] for split in task.dev_splits},
        agreement={split: agree(student[split], outputs[split]) for split in in_order} if student is not None else {},
    )


@stage_times.stage(stage_times.TEACHER)
def _outputs(run: PreparedRun, bundle: ModelBundle, splits: Sequence[str]) -> dict[str, Outputs]:
    """The final teacher's outputs on dev splits; logits are kept in the cache, for other runs with this teacher."""
    evaluation = build.teacher_evaluation(run)
    if run.evaluator.task_type.generates_text:
        return evaluation.outputs(bundle, splits)
    return {split: np.array(logits.cached_logits(bundle, evaluation.dev[split], evaluation)) for split in splits}


def _with_placeholders(run: PreparedRun, teacher: TeacherResult, bundle: ModelBundle) -> TeacherResult:
    """Add untrained parts of a meta-teacher for a dry run, whose steps do not depend on their values."""
    if not run.requires.meta_teacher:
        return teacher
    dropout = run.config.teacher.meta.dropout
    branch = DomainClassifier(bundle.model.config.hidden_size, len(run.config.task.domains), dropout)
    branch.to(run.accelerator.device).requires_grad_(False).eval()
    ones = np.ones(run.data.student_rows.num_rows, np.float32)
    return replace(teacher, modules={"domain_branch": branch}, rows_read=None, transferability=ones)


def fine_tune(run: PreparedRun, strategy: DomainStrategy | None) -> TeacherResult:
    """Fine-tune the teacher, or load it from the cache.

    Args:
        run: run with the teacher before fine-tuning, which is trained in place.
        strategy: domain strategy of the teacher; None for a task without domains.
    """
    config, bundle = run.config, run.roles["teacher"]
    rows = teacher_rows(run, strategy)
    callback = ProgressCallback(run.console, "teacher", config.task.headline, config.task.dev_splits[0])
    training_set, student_weights = teacher_training_set(run, rows, strategy)
    context = build.make_build_context(run, "teacher")
    checkpoints = build.make_checkpoint_manager(run, "teacher", save_final=False)
    evaluation = _evaluation(run, rows)
    with stage_times.stage(stage_times.TRAINING):
        teacher = finetune.load_or_finetune(bundle, context, evaluation, training_set, callback, checkpoints)
    origin = "loaded from the cache" if teacher.from_cache else "fine-tuned and saved in the cache"
    domain_note = "" if strategy is None else f" (domain_strategy={strategy.value}, on {rows.display_name})"
    run.console.print(f"teacher {origin}{domain_note}")
    return TeacherResult(
        teacher.bundle, modules=teacher.modules, rows_read=teacher.rows_read, transferability=student_weights
    )


def teacher_rows(run: PreparedRun, strategy: DomainStrategy | None) -> TaskDataset:
    """The teacher's training rows, and the dev rows that choose its checkpoint.

    In a run on other text, the task's rows are read only here and freed with the teacher's training.
    """
    if not run.trains_on_task_rows:
        return run_data.load_task_data(run.config).for_teacher
    all_domains = run.data.all_domains
    if all_domains is None or strategy in (None, DomainStrategy.single):
        return run.data.for_teacher
    target = domains.target_domain(run.config.method)
    is_held_out = domains.holds_out_domain(run.config.method)
    return all_domains.without_domain(target) if is_held_out and target is not None else all_domains


def teacher_training_set(
    run: PreparedRun, rows: TaskDataset, strategy: DomainStrategy | None
) -> tuple[TeacherTrainingSet, np.ndarray | None]:
    """The teacher's training set for its domain strategy, and the transferability of the student's rows.

    Returns:
        The training set; transferability of each student row, [rows], None without a meta-teacher.
    """
    train = rows.train
    target = domains.target_domain(run.config.method)
    index = None if target is None else run.config.task.domains.index(target)
    labels, targets = train.labels(), None
    if run.evaluator.task_type.generates_text:
        bundle, limit = run.roles["teacher"], run.config.task.answer_tokens
        labels, targets = None, answers.target_sequences(labels.tolist(), bundle, limit, gold=True)
    tokens = _tokens(run, rows, "train")
    training_set = TeacherTrainingSet(tokens, labels, targets, strategy, train.domains(), target=index)
    if strategy is not DomainStrategy.meta:
        return training_set, None
    of_teacher, of_student = _transferability(run, rows)
    return replace(training_set, transferability=of_teacher), of_student


def _transferability(run: PreparedRun, rows: TaskDataset) -> tuple[np.ndarray, np.ndarray]:
    """The transferability t(x) of the teacher's rows and of the student's rows.

    Teacher rows are compared with prototypes of the teacher's domains, student rows with prototypes of all domains. The
    two differ if the student's domain is held out from the teacher.
    """
    task, options, dataset = run.config.task, run.config.teacher.meta, run.data.all_domains or run.data
    tokens = _tokens(run, dataset, "train")
    states = embeddings.cached_embeddings(run.roles["teacher"], tokens, run.accelerator)
    labels, ids = dataset.train.labels(), dataset.train.domains()
    assert ids is not None
    counts = (len(task.domains), len(task.labels))

    def among(chosen: np.ndarray) -> np.ndarray:
        parts = np.asarray(states[chosen], np.float64), labels[chosen], ids[chosen]
        return transferability(*parts, counts, options.prototypes, options.own_weight)

    in_teacher, in_student = (np.isin(ids, _domain_ids(part)) for part in (rows, run.data))
    all_rows = among(np.arange(len(ids)))
    return (all_rows if in_teacher.all() else among(np.flatnonzero(in_teacher))), all_rows[in_student]


def _domain_ids(rows: TaskDataset) -> np.ndarray:
    """Unique domain ids of the training rows."""
    ids = rows.train.domains()
    assert ids is not None
    return np.unique(ids)


def _tokens(run: PreparedRun, rows: TaskDataset, split: str) -> TokenizedSplit:
    mixes_unlabeled = split == "train" and rows.unlabeled is not None  # the teacher learns from labels only
    if rows is run.data and not mixes_unlabeled:
        return run.tokens("teacher")[split]
    bundle = run.roles["teacher"]
    return tokenize(rows.splits[split], bundle.tokenizer, run.config.data.max_length, bundle.prompts)


def _evaluation(run: PreparedRun, rows: TaskDataset) -> finetune.TeacherEvaluation:
    """Dev rows that choose the teacher's checkpoint: those of the domains that it is fine-tuned on."""
    if rows is run.data or not run.trains_on_task_rows:
        return build.teacher_evaluation(run)
    splits = {name: rows.splits[name] for name in run.config.task.eval_splits_during_training}
    evaluator = Evaluator.for_splits(run.config.task, splits, run.evaluator.predictor)
    tokens = {name: _tokens(run, rows, name) for name in splits}
    return finetune.TeacherEvaluation(run.config, tokens, evaluator, run.accelerator)
