"""Build the models, tokens, method and batch loader of a run."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from kdrun import progress, registry, stage_times
from kdrun.config.data import SpecialTokens
from kdrun.config.model import ModelConfig
from kdrun.config.schema import RunConfig
from kdrun.config.teacher import RecordedTeacherConfig
from kdrun.config.validation import text_to_text
from kdrun.data import entities
from kdrun.data.dataset import TaskDataset
from kdrun.data.loader import BatchLoader, BatchOrder
from kdrun.data.samplers import longest_first_batches
from kdrun.data.special_tokens import split_special_tokens
from kdrun.data.tokenization import TextTokenizer
from kdrun.errors import ConfigError
from kdrun.generation.types import SharedVocabulary
from kdrun.methods.base import Method, MethodContext
from kdrun.models import attention_maps, compile, families, saving, tokenizers
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.models.tokenizers import special_ids
from kdrun.runs import model_checks
from kdrun.runs.context import PreparedRun, RunContext, TeacherResult
from kdrun.runs.model_placement import place_models
from kdrun.runs.recorded import recorded_teacher
from kdrun.storage.checkpoint_manager import CheckpointManager, Resumable
from kdrun.tasks.evaluator import Evaluator
from kdrun.tasks.label_losses import on_labeled_rows
from kdrun.training import pretraining
from kdrun.training.teacher import answers, finetune, hidden_states, logits, top_logits


def build_run(context: RunContext, data: TaskDataset, evaluator: Evaluator) -> PreparedRun:
    """Build the models of a run.

    Raises:
        ConfigError: a model from the hub does not fit the task or the method.
        DataError: a recorded teacher lacks rows of the student.
        ModelError: models do not fit each other.
    """
    recorded = recorded_teacher(context, data)
    with stage_times.stage(stage_times.MODELS), progress.track("building the models"):
        roles = _build_roles(context)
    if context.config.data.special_tokens is SpecialTokens.split:
        for bundle in roles.values():
            split_special_tokens(bundle.tokenizer)
    if context.requires.shared_vocabulary:
        model_checks.check_same_vocabulary(roles)
    elif evaluator.task_type.generates_text and context.requires.teacher:
        model_checks.check_same_vocabulary({role: roles[role] for role in ("teacher", "student")})
    model_checks.check_inputs(context, roles)
    compared = context.compared_layers(roles)
    needs_model = context.requires.teacher and recorded is None
    if will_train := needs_model and finetune.needs_finetuning(context.config.teacher, roles["teacher"]):
        saving.check_savable(roles["teacher"], "teacher")
    saving.check_savable(roles["student"], "student")
    place_models(context, roles, will_train_teacher=will_train)
    facts = vars(context)
    return PreparedRun(**facts, data=data, evaluator=evaluator, roles=roles, recorded=recorded, layers=compared)


def _build_roles(context: RunContext) -> dict[str, ModelBundle]:
    """Build teacher (if the method or the student needs one), student and generator."""
    config, requires = context.config, context.requires
    is_recorded = isinstance(config.teacher, RecordedTeacherConfig)
    needed = {
        "teacher": (requires.teacher and not is_recorded) or config.student.starts_from_teacher,
        "student": True,
        "generator": requires.generator,
    }
    roles: dict[str, ModelBundle] = {}
    for role in (role for role, is_needed in needed.items() if is_needed):
        section = getattr(config, role)
        build_context = make_build_context(context, role, roles.get("teacher"))
        roles[role] = registry.build(role, section.name, section, build_context)
    is_text_to_text = {role: families.is_text_to_text(bundle.model.config) for role, bundle in roles.items()}
    problems = list(text_to_text.text_to_text_problems(config, requires, is_text_to_text))
    if problems:  # of models from the hub, whose family is known only after their download
        raise ConfigError(problems)
    return roles


def make_build_context(context: RunContext, role: str, teacher: ModelBundle | None = None) -> BuildContext:
    """Everything that a model builder needs besides the config section of its model.

    Args:
        context: context of the run.
        role: role of the model.
        teacher: teacher whose vocabulary or layers the model may use.
    """
    config = context.config
    section = getattr(config, role)
    return BuildContext(
        role=role,
        label_mass_weight=section.label_mass_weight if isinstance(section, ModelConfig) else 0.0,
        task=config.task,
        corpus=lambda: registry.build("corpus", config.corpus.name, config.corpus),
        seed=config.teacher.seed if role == "teacher" else config.seed,
        teacher=teacher,
        attn_implementation=attention_maps.NAME if context.requires.attentions else "sdpa",
        max_length=config.data.max_length,
        pretrain=partial(
            pretraining.pretrain,
            accelerator=context.accelerator,
            make_checkpoints=partial(make_checkpoint_manager, context, f"pretraining-{role}", save_final=False),
        ),
    )


def make_method(run: PreparedRun, teacher: TeacherResult | None = None) -> Method:
    """The method with the models it may use: the teacher only if it needs one."""
    config, requires, task_type = run.config, run.requires, run.evaluator.task_type
    roles: dict[str, nn.Module] = {role: run.roles[role].model for role in run.used_roles}
    if config.runtime.compile:
        compile.compile_layers(roles.values())
    roles |= teacher.modules if teacher else {}
    is_shared = requires.shared_vocabulary or (requires.text_between and shares_vocabulary(run))
    readers = {
        role: TextTokenizer(bundle.tokenizer, config.data.max_length, bundle.prompts)
        for role, bundle in run.roles.items()
        if requires.text_between and role in roles
    }
    context = MethodContext(
        roles,
        config.task,
        task_type.soft_loss(config.loss.name, **config.loss.settings) if requires.teacher else None,
        on_labeled_rows(task_type.hard_loss) if run.data.unlabeled is not None else task_type.hard_loss,
        config.seed,
        run.accelerator.device,
        _shared_vocabulary(run) if is_shared else None,
        readers,
        run.data.student_rows.num_rows,
    )
    method: Method = registry.get("method", config.method.name).target(config.method, context)
    method.may_start_at_zero |= {"hard"} if run.data.unlabeled else set()  # a batch may have no labeled row
    return method


def shares_vocabulary(run: PreparedRun) -> bool:
    """Whether all models of a run have one vocabulary."""
    return tokenizers.all_same_vocabulary(run.roles[role].tokenizer for role in run.used_roles)


def _shared_vocabulary(run: PreparedRun) -> SharedVocabulary:
    """The shared vocabulary of the roles: its mask token, and ids that are special or unused in any role."""
    tokenizers = {role: run.roles[role].tokenizer for role in run.used_roles}
    masks = [mask for tokenizer in tokenizers.values() if isinstance(mask := tokenizer.mask_token_id, int)]
    special = {index for tokenizer in tokenizers.values() for index in special_ids(tokenizer)}
    if "generator" in tokenizers:
        # T5's embedding has more rows than its vocabulary has entries; ids beyond the embedding cannot be generated
        size = int(run.roles["generator"].model.config.vocab_size)
        special = {i for i in special | set(range(len(tokenizers["generator"]), size)) if i < size}
    return SharedVocabulary(masks[0] if masks else None, torch.tensor(sorted(special), device=run.accelerator.device))


def teacher_evaluation(run: PreparedRun) -> finetune.TeacherEvaluation:
    """Dev rows and metrics by which the teacher is evaluated; a recorded teacher needs no tokens."""
    tokens = {} if run.recorded is not None else run.dev_tokens("teacher")
    return finetune.TeacherEvaluation(run.config, tokens, run.evaluator, run.accelerator)


def make_checkpoint_manager(
    context: RunContext, name: str, journal: Resumable | None = None, model_config: Any = None, *, save_final: bool
) -> CheckpointManager | None:
    """Manager of the checkpoints of one training in `checkpoints/<name>`; None for a dry run, which writes nothing.

    Args:
        context: context of the run.
        name: name of the training.
        journal: other state that is restored with a checkpoint.
        model_config: transformers config of the trained model.
        save_final: whether to save the end of the training too; not needed if the cache holds the result.
    """
    if context.run_dir is None:
        return None
    folder = context.run_dir.path / "checkpoints" / name
    options = context.config.checkpoint
    return CheckpointManager(folder, options.every_seconds, options.keep_last, journal, model_config, save_final)


def make_loader(run: PreparedRun, method: Method, teacher: TeacherResult | None = None) -> BatchLoader:
    """Batches of the student's training rows, with the teacher's cached outputs that the method needs."""
    if run.evaluator.task_type.generates_text:
        return _make_seq2seq_loader(run)
    config, requires, rows = run.config, run.requires, run.data.student_rows
    extras: dict[str, np.ndarray | None] = {}
    if requires.domains:
        extras = {"domain": rows.domains(), "transferability": teacher.transferability if teacher else None}
    states, spec = None, method.teacher_states_to_cache()
    teacher_logits = _teacher_logits(run) if requires.teacher_logits else None
    if spec is not None and not config.dry_run:
        tokens = run.tokens("teacher")["train"]
        states = hidden_states.cached_states(run.roles["teacher"], tokens, spec, run.accelerator)
    return BatchLoader(
        {role: run.tokens(role)["train"] for role in requires.inputs},
        rows.labels() if requires.labels else None,
        run.accelerator.device,
        teacher_logits,
        rows.name,
        states,
        {name: values for name, values in extras.items() if values is not None},
        order=_batch_order(config),
        num_unlabeled=run.data.unlabeled.num_rows if run.data.unlabeled is not None else 0,
    )


def _teacher_logits(run: PreparedRun) -> np.ndarray:
    """The teacher's logits on the student's rows, [rows, outputs]; a dry run computes those of its steps only."""
    if run.recorded is not None:
        return run.recorded.logits
    config, bundle, tokens = run.config, run.roles["teacher"], run.tokens("teacher")["train"]
    if not config.dry_run:
        return logits.cached_logits(bundle, tokens, teacher_evaluation(run))
    predictor = run.evaluator.predictor
    sizes = np.cumsum([len(rows) for rows in longest_first_batches(tokens.lengths, predictor.batch_size)])
    needed = config.optim.batch_size * config.optim.gradient_accumulation_steps
    num_batches = int(np.searchsorted(sizes, needed)) + 1
    return np.nan_to_num(predictor.logits(bundle.model, tokens, config.task.num_outputs, num_batches))


def _batch_order(config: RunConfig) -> BatchOrder:
    """The order of batches: a dry run trains on the longest rows, so that all rows fit if these do."""
    return "longest_first" if config.dry_run else "bucketed"


def _make_seq2seq_loader(run: PreparedRun) -> BatchLoader:
    """Batches with target texts: gold answers, or the teacher's for a method without labels."""
    config, requires, rows = run.config, run.requires, run.data.student_rows
    if requires.labels:
        texts = rows.labels().tolist()
    elif config.dry_run:
        texts = [entities.NO_ENTITY] * rows.num_rows  # a dry run does not depend on the texts
    else:
        texts = answers.cached_answers(run.roles["teacher"], run.tokens("teacher")["train"], run.evaluator)
    targets = answers.target_sequences(texts, run.roles["student"], config.task.answer_tokens, gold=requires.labels)
    if targets.num_truncated:
        run.console.note(answers.truncation_note(targets))
    forward, token_logits, roles = None, None, dict.fromkeys(requires.inputs)
    if requires.teacher_logits and config.teacher.top_k is not None and not config.dry_run:
        tokens = run.tokens("teacher")["train"]
        token_logits = top_logits.cached_top_logits(run.roles["teacher"], tokens, targets, teacher_evaluation(run))
    elif requires.teacher_logits:
        forward, roles = answers.teacher_forward(run.roles["teacher"].model, run.accelerator), roles | {"teacher": None}
    return BatchLoader(
        {role: run.tokens(role)["train"] for role in roles},
        None,
        run.accelerator.device,
        split=rows.name,
        targets=targets,
        teacher_forward=forward,
        token_logits=token_logits,
        order=_batch_order(config),
    )
