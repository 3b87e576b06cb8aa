"""Load a checkpoint and fit its head to the task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    T5Config,
    T5ForConditionalGeneration,
)

from kdrun.errors import ModelError
from kdrun.models import decoders, families, label_alignment, padding, t5_tasks, text_tasks, weights
from kdrun.models.attention_choice import attention_note
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.models.hub_files import download, read_config, read_tokenizer
from kdrun.models.parameters import head_prefix, model_fingerprint
from kdrun.models.t5_base import ATTENTION, TaskT5
from kdrun.models.text_limits import check_positions, check_vocabulary
from kdrun.models.tokenizers import fitting_tokenizer
from kdrun.rng import seeded_init


def from_hub(
    repo: str,
    revision: str | None,
    context: BuildContext,
    *,
    replace_head: bool,
    labels: Mapping[str, str] | None = None,
) -> ModelBundle:
    """Download a checkpoint (or find it in the cache of the hub's client) and load it.

    Args:
        repo: name at the hub.
        revision: commit or tag.
        context: role, task, seed, attention.
        replace_head: see `from_folder`.
        labels: see `from_folder`.

    Raises:
        ModelError: the checkpoint cannot be downloaded, or `from_folder` refuses it.
    """
    folder = download(repo, revision, context.role)
    return from_folder(folder, context, name=repo.rpartition("/")[2], replace_head=replace_head, labels=labels)


def from_folder(
    folder: Path,
    context: BuildContext,
    *,
    replace_head: bool,
    name: str | None = None,
    labels: Mapping[str, str] | None = None,
    where: str | None = None,
) -> ModelBundle:
    """Load the model and tokenizer of a folder for a role.

    Args:
        folder: a folder that `save_pretrained` wrote.
        context: role, task, seed, attention.
        replace_head: replace a head that does not fit the task, instead of refusing the checkpoint.
        name: name on the console; the folder's name by default.
        labels: name of a class of the checkpoint → name of the task's class that it means.
        where: config key and folder, for messages; `ROLE.path=FOLDER` by default.

    Raises:
        ModelError: a file is missing or damaged, would run foreign code, or does not fit the task.
    """
    if where is None:
        where = f"{context.role}.path={folder}" if name is None else f"{context.role}.hub={name} (in {folder})"
    config = read_config(folder, where)
    tokenizer = read_tokenizer(folder, where)
    check_positions(config, tokenizer, context.max_length, where)
    check_vocabulary(config, tokenizer, where)
    if families.is_text_to_text(config):
        return _text_to_text(folder, where, config, tokenizer, context, replace_head, name)
    if context.task.is_text and context.role != "generator":
        has_head, notes = _compare_task(config, context, where, replace_head)
        facts = name or folder.resolve().name, has_head, notes
        return decoders.load(folder, where, config, tokenizer, context, facts)
    notes = [*families.set_exact(config), *padding.fit_padding_ids(config, tokenizer, where)]
    # both are those of the checkpoint, before the weights are loaded for the task's outputs
    architectures, names, problem_type = config.architectures, label_alignment.names_of(config), config.problem_type
    claims = architectures is None or any(a.endswith("ForSequenceClassification") for a in architectures)
    loaded = _weights(folder, where, config, context)
    notes += attention_note(loaded.model)
    tokenizer = fitting_tokenizer(tokenizer, loaded.model)
    has_head = False
    if context.role == "generator":
        _check_language_head(loaded, where)
    else:
        fit = label_alignment.compare(names, context.task, labels, f"{context.role}.labels")
        fit = label_alignment.compare_problem_type(problem_type, context.task, fit)
        has_head = _fit_or_replace_head(loaded, fit if claims else None, where, context, replace_head, notes)
        notes += padding.fit_batches(loaded.model, tokenizer, context.max_length, where)
    fingerprint = model_fingerprint(loaded.model, tokenizer)
    return ModelBundle(loaded.model, tokenizer, name or folder.resolve().name, fingerprint, has_head, notes)


def _fit_or_replace_head(
    loaded: _Loaded,
    fit: label_alignment.Fit | None,
    where: str,
    context: BuildContext,
    replace_head: bool,
    notes: list[str],
) -> bool:
    """Fit the checkpoint's head to the task, or complete a checkpoint without one. Returns whether a head was kept.

    Args:
        loaded: the model.
        fit: of the checkpoint's classes; None if its config claims no classification head.
        where: config key and folder, for messages.
        context: of the build.
        replace_head: replace a head that does not fit the task, instead of refusing the checkpoint.
        notes: receives remarks.
    """
    has_head = False
    if fit is not None and not loaded.new_head:
        has_head = _fit_head(loaded, fit, where, context, replace_head, notes)
    else:
        if len(loaded.new_head) < loaded.head_size:
            # part of the head came from the checkpoint: replace all of it, so that it depends only on the seed
            _replace_head(loaded.model, context)
        notes.append(f"{loaded.head_size} weights were new: {', '.join(sorted(loaded.head))}")
    if loaded.new_pooler:
        notes.append(f"the checkpoint has no pooler: {', '.join(sorted(loaded.new_pooler))} were new")
    return has_head


def _text_to_text(
    folder: Path,
    where: str,
    config: T5Config,
    tokenizer: PreTrainedTokenizerBase,
    context: BuildContext,
    replace_head: bool,
    name: str | None,
) -> ModelBundle:
    """Load a T5 checkpoint: unchanged for a generator, as a model of the task for a teacher or student.

    A T5 has no classification head. The config of one that kdrun trained on a task holds the task's answers.
    """
    has_head, notes = False, list[str]()
    if context.role != "generator":
        has_head, notes = _compare_task(config, context, where, replace_head)
    model_class = T5ForConditionalGeneration if context.role == "generator" else t5_tasks.model_class(context.task)
    model, info = weights.load_model(model_class, folder, where, config, context, ATTENTION)
    weights.check_missing_weights(set(info["missing_keys"]) | weights.mismatched_weights(info), where)
    if isinstance(model, TaskT5):
        model.configure_for_task(context.task, tokenizer, context.label_mass_weight)
    model.eval()
    return ModelBundle(
        model, tokenizer, name or folder.resolve().name, model_fingerprint(model, tokenizer), has_head, notes
    )


def _compare_task(
    config: PreTrainedConfig, context: BuildContext, where: str, replace_head: bool
) -> tuple[bool, list[str]]:
    """Whether a checkpoint that answers with text was trained on the task, and notes.

    Raises:
        ModelError: it was trained on another task and may not be trained again, or the task has no prompts.
    """
    text_tasks.check_prompts(context.task, context.role)
    answers, prompts = text_tasks.task_signature(config)
    has_head, notes = text_tasks.was_trained_on(config, context.task), list[str]()
    if answers and not has_head:
        training = f"it was trained to answer {', '.join(answers)} to {' … '.join(prompts)}"
        if not replace_head:
            task = f"{', '.join(text_tasks.answers_of(context.task))} to {' … '.join(context.task.prompts)}"
            raise ModelError(
                f"{where}: {training}, and {context.task.name} asks for {task}; give a checkpoint of this task, or "
                f"let kdrun train this one on the task with {context.role}.fine_tune=always"
            )
        notes.append(f"{training}; it is trained on the answers of {context.task.name} from here on")
    if has_head and context.role == "student":
        notes.append("the student starts as a checkpoint that was trained on this task")
    return has_head, notes


@dataclass
class _Loaded:
    """A model, and the weights that its checkpoint lacked.

    Attributes:
        model: in eval mode.
        head: names of the head's weights.
        new_head: those of them that the checkpoint lacked.
        new_pooler: weights of the body's pooler that the checkpoint lacked.
        reshaped: weights that have another shape in the checkpoint.
    """

    model: PreTrainedModel
    head: set[str]
    new_head: set[str]
    new_pooler: set[str]
    reshaped: set[str]

    @property
    def head_size(self) -> int:
        """Number of tensors in the head."""
        return len(self.head)


def _weights(folder: Path, where: str, config: PreTrainedConfig, context: BuildContext) -> _Loaded:
    generator = context.role == "generator"
    auto = AutoModelForMaskedLM if generator else AutoModelForSequenceClassification
    if not generator:
        label_alignment.set_labels(config, context.task)
    model, info = weights.load_model(auto, folder, where, config, context, context.attn_implementation)
    return _sort_keys(model, info, where)


def _sort_keys(model: PreTrainedModel, info: dict[str, Any], where: str) -> _Loaded:
    """Sort the weights that a checkpoint lacked into head and pooler.

    Raises:
        ModelError: weights of the body are missing or have another shape.
    """
    body = head_prefix(model)
    missing = set(info["missing_keys"])
    reshaped = weights.mismatched_weights(info)
    pooler = {key for key in missing if key.startswith(f"{body}pooler.")}
    missing_body = {key for key in missing | reshaped if key.startswith(body)} - pooler
    weights.check_missing_weights(missing_body, where)
    head = {key for key in model.state_dict() if not key.startswith(body)}
    return _Loaded(model.eval(), head, missing - pooler, pooler, reshaped)


def _check_language_head(loaded: _Loaded, where: str) -> None:
    lacking = loaded.new_head | loaded.reshaped
    if lacking:
        raise ModelError(
            f"{where}: a generator needs a masked-language-model head, and this checkpoint lacks "
            f"{', '.join(sorted(lacking)[:3])}, …, so its text would be noise; take a …ForMaskedLM checkpoint"
        )


def _fit_head(
    loaded: _Loaded,
    fit: label_alignment.Fit,
    where: str,
    context: BuildContext,
    replace_head: bool,
    notes: list[str],
) -> bool:
    """Align the head of a checkpoint with the task, or replace it. Returns whether it was kept."""
    if loaded.reshaped and not fit.problem:
        shapes = f"{', '.join(sorted(loaded.reshaped))} have a different shape in config.json"
        fit = label_alignment.Fit(fit.order, problem=shapes)
    if fit.problem and not replace_head:
        raise ModelError(
            f"{where}: the classification head does not fit the task: {fit.problem}; give a checkpoint of this "
            f"task, or let kdrun put a new head on it with {context.role}.fine_tune=always"
        )
    if fit.problem:
        _replace_head(loaded.model, context)
        notes.append(f"the checkpoint's head was replaced by a new one: {fit.problem}")
        return False
    label_alignment.permute_outputs(loaded.model, fit.order)
    if fit.note:
        notes.append(fit.note)
    if context.role == "student":
        notes.append("the student starts with the classification head of its checkpoint")
    return True


def _replace_head(model: PreTrainedModel, context: BuildContext) -> None:
    """Give a model the head that it would have had if its checkpoint had none; it depends only on seed and role."""
    with seeded_init(context.seed, context.role):
        untrained = AutoModelForSequenceClassification.from_config(
            model.config, attn_implementation=model.config._attn_implementation
        )
    body = head_prefix(model)
    head = {key: value for key, value in untrained.state_dict().items() if not key.startswith(body)}
    model.load_state_dict(head, strict=False)
