"""Build the models, tokens, method and batch loader of a run."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from kdrun import registry
from kdrun.config.schema import RunConfig
from kdrun.config.validation import text_to_text
from kdrun.data import entities
from kdrun.data.loader import BatchLoader, BatchOrder
from kdrun.data.samplers import longest_first_batches
from kdrun.data.tokenization import TextTokenizer
from kdrun.errors import ConfigError, ModelError
from kdrun.generation.types import SharedVocabulary
from kdrun.methods.base import Method, MethodContext
from kdrun.methods.shared import layer_mapping
from kdrun.models import attention_maps, compile, families, tokenizers
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.models.tokenizers import special_ids
from kdrun.runs.context import RunContext
from kdrun.storage.checkpoint_manager import CheckpointManager, Resumable
from kdrun.training import pretraining
from kdrun.training.teacher import answers, finetune, hidden_states, logits


def build_roles(run: RunContext) -> None:
    """Build teacher (where the method or the student needs one), student and generator."""
    config = run.config
    wanted = {"teacher": run.requires.teacher or config.student.starts_from_teacher, "student": True}
    wanted["generator"] = run.requires.generator
    for role in (role for role, needed in wanted.items() if needed):
        section = getattr(config, role)
        run.roles[role] = registry.build(role, section.name, section, build_context(run, role))
    unfit = list(
        text_to_text.text_to_text_problems(config, run.requires, {r: _is_text_to_text(b) for r, b in run.roles.items()})
    )
    if unfit:  # of models from the hub, whose family their download told
        raise ConfigError(unfit)
    if run.requires.shared_vocabulary:
        _same_vocabulary(run.roles)
    elif run.evaluator.task_type.generates_text and run.requires.teacher:
        _same_vocabulary({role: run.roles[role] for role in ("teacher", "student")})
    if run.requires.paired_layers:
        layer_facts(run)
    for built in run.roles.values():
        built.model.to(run.accelerator.device)


def build_context(run: RunContext, role: str) -> BuildContext:
    """What a builder is told beside its own section."""
    config = run.config
    return BuildContext(
        role=role,
        stray_weight=getattr(getattr(config, role), "label_mass_weight", 0.0),
        task=config.task,
        corpus=lambda: registry.build("corpus", config.corpus.name, config.corpus),
        seed=config.teacher.seed if role == "teacher" else config.seed,
        teacher=run.roles.get("teacher") if role != "teacher" else None,
        attn_implementation=attention_maps.NAME if run.requires.attentions else "sdpa",
        max_length=config.data.max_length,
        pretrain=partial(
            pretraining.pretrain,
            accelerator=run.accelerator,
            make_checkpoints=partial(make_checkpoint_manager, run, f"pretraining-{role}", save_final=False),
        ),
    )


def layer_facts(run: RunContext) -> list[tuple[str, str]]:
    """Which layers of teacher and student are compared, for the screen.

    Raises:
        ModelError: their depths do not pair up.
    """
    return layer_mapping.describe(run.roles["student"].model.config, run.roles["teacher"].model.config)


def _is_text_to_text(built: ModelBundle) -> bool:
    return families.is_text_to_text(built.model.config)


def _same_vocabulary(roles: dict[str, ModelBundle]) -> None:
    first = roles["student"]
    for role, built in roles.items():
        if not tokenizers.same_vocabulary(first.tokenizer, built.tokenizer):
            raise ModelError(
                "this method's models read one another's tokens or are compared token by token, so they must share "
                f"one vocabulary: the student ({first.name}, {len(first.tokenizer)} entries) and the {role} "
                f"({built.name}, {len(built.tokenizer)} entries) do not; student.tokenizer=teacher, for a student "
                "from scratch, takes the teacher's"
            )


def make_method(run: RunContext) -> Method:
    """The method with the models it may use: the teacher only where it needs one."""
    config = run.config
    entry = registry.get("method", config.method.name)
    loss = None
    if run.requires.teacher:
        loss = run.evaluator.task_type.soft_loss(config.loss.name)
    roles: dict[str, nn.Module] = {role: run.roles[role].model for role in run.used_roles}
    if config.runtime.compile:
        compile.compile_layers(roles.values())
    roles |= run.finetuned_teacher.modules if run.finetuned_teacher else {}
    device = run.accelerator.device
    between, length = run.requires.text_between, config.data.max_length
    words = _vocabulary(run) if run.requires.shared_vocabulary or (between and shares_vocabulary(run)) else None
    read = {r: TextTokenizer(b.tokenizer, length, b.prompts) for r, b in run.roles.items() if between and r in roles}
    parts = MethodContext(roles, config.task, loss, run.evaluator.task_type.hard_loss, config.seed, device, words, read)
    return entry.target(config.method, parts)


def shares_vocabulary(run: RunContext) -> bool:
    """Whether all models of a run have one vocabulary."""
    first, *others = (run.roles[role].tokenizer for role in run.used_roles)
    return all(tokenizers.same_vocabulary(first, other) for other in others)


def _vocabulary(run: RunContext) -> SharedVocabulary:
    """The vocabulary that the roles share: its mask token, and the ids that are no word for any of them."""
    tokenizers = {role: run.roles[role].tokenizer for role in run.used_roles}
    masks = [mask for tokenizer in tokenizers.values() if isinstance(mask := tokenizer.mask_token_id, int)]
    special = {index for tokenizer in tokenizers.values() for index in special_ids(tokenizer)}
    if "generator" in tokenizers:
        # T5's table has more rows than its vocabulary entries; and what lies behind the table it cannot give anyway
        size = int(run.roles["generator"].model.config.vocab_size)
        special = {i for i in special | set(range(len(tokenizers["generator"]), size)) if i < size}
    return SharedVocabulary(masks[0] if masks else None, torch.tensor(sorted(special), device=run.accelerator.device))


def teacher_evaluation(run: RunContext) -> finetune.TeacherEvaluation:
    """Where the teacher is scored."""
    return finetune.TeacherEvaluation(run.config, run.dev_tokens("teacher"), run.evaluator, run.accelerator)


def make_checkpoint_manager(
    run: RunContext, name: str, journal: Resumable | None = None, model_config: Any = None, *, save_final: bool
) -> CheckpointManager | None:
    """The manager of a training's checkpoints in `checkpoints/<name>`; None in a run that writes nothing.

    Args:
        run: the run.
        name: of the training.
        journal: other state that goes back to where it was when a checkpoint was saved.
        model_config: transformers config of the trained model.
        save_final: whether to save the end of the training too; not where the cache holds the result.
    """
    if run.run_dir is None:
        return None
    place = run.run_dir.path / "checkpoints" / name
    options = run.config.checkpoint
    return CheckpointManager(place, options.every_seconds, options.keep_last, journal, model_config, save_final)


def make_loader(run: RunContext, method: Method) -> BatchLoader:
    """The rows the student learns from, with what is kept of the teacher on them as far as the method needs it."""
    config, lessons, kept = run.config, run.data.student_rows, None
    if run.evaluator.task_type.generates_text:
        return _make_seq2seq_loader(run)
    if run.requires.teacher_logits:
        setting, built, table = teacher_evaluation(run), run.roles["teacher"], run.tokens("teacher")["train"]
        if config.dry_run:  # a step's worth of the longest rows, which a dry run trains on
            sizes = np.cumsum(
                [len(rows) for rows in longest_first_batches(table.lengths, run.evaluator.predictor.batch_size)]
            )
            enough = int(np.searchsorted(sizes, config.optim.batch_size * config.optim.gradient_accumulation_steps)) + 1
            kept = np.nan_to_num(run.evaluator.predictor.logits(built.model, table, config.task.num_outputs, enough))
        else:
            kept = logits.cached_logits(built, table, setting)
    tables = {role: run.tokens(role)["train"] for role in run.requires.inputs}
    labels = lessons.labels() if run.requires.labels else None
    extras = {"domain": lessons.domains(), "transferability": run.transferability} if run.requires.domains else {}
    known = {name: values for name, values in extras.items() if values is not None}
    states, wanted = None, method.teacher_states_to_cache()
    if wanted is not None and not config.dry_run:
        table = run.tokens("teacher")["train"]
        states = hidden_states.cached_states(run.roles["teacher"], table, wanted, run.accelerator)
    order = _batch_order(config)
    return BatchLoader(tables, labels, run.accelerator.device, kept, lessons.name, states, known, order=order)


def _batch_order(config: RunConfig) -> BatchOrder:
    """The order of batches: a dry run trains on the longest rows, so that all rows fit if these do."""
    return "longest_first" if config.dry_run else "bucketed"


def _make_seq2seq_loader(run: RunContext) -> BatchLoader:
    """The same of a task that is answered with a text: gold ones, or where the method sees no labels the teacher's."""
    config, lessons, student = run.config, run.data.student_rows, run.roles["student"]
    if run.requires.labels:
        texts = lessons.labels().tolist()
    elif config.dry_run:
        texts = [entities.NO_ENTITY] * lessons.num_rows  # a dry run's steps do not hang on what is written
    else:
        texts = answers.cached_answers(run.roles["teacher"], run.tokens("teacher")["train"], run.evaluator)
    targets = answers.target_sequences(texts, student, config.task.answer_tokens, gold=run.requires.labels)
    if targets.num_truncated:
        run.console.note(
            f"{targets.num_truncated} of {targets.num_rows} answers are longer than "
            f"task.answer_tokens={targets.limit}: the rest of them is not learned"
        )
    live, roles = None, dict.fromkeys(run.requires.inputs)
    if run.requires.teacher_logits:
        live, roles = answers.teacher_forward(run.roles["teacher"].model, run.accelerator), roles | {"teacher": None}
    tables = {role: run.tokens(role)["train"] for role in roles}
    return BatchLoader(
        tables,
        None,
        run.accelerator.device,
        split=lessons.name,
        targets=targets,
        teacher_forward=live,
        order=_batch_order(config),
    )
