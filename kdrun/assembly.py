"""Puts a run together: device, models by role, tokens, method, feed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch import nn

from kdrun import compiling, entities, kept_states, layer_pairs, registry, teacher, text_roles, trackers, writing
from kdrun.config import Config, Device, Precision, Select, Tracker
from kdrun.data.batching import by_length
from kdrun.data.feed import Feed
from kdrun.data.sources import TaskData
from kdrun.data.tokens import Reader, TokenTable, tokenize
from kdrun.errors import ConfigError, ModelError
from kdrun.evaluation import Evaluator, Scores
from kdrun.inspection import Check, Inspection
from kdrun.keeper import Journal, Keeper
from kdrun.kinds.base import Outputs
from kdrun.method import Method, Needs, Parts, Vocabulary
from kdrun.models import attention, loading
from kdrun.models.built import BuildContext, Built, special_ids
from kdrun.run_folder import RunFolder
from kdrun.screen import Screen
from kdrun.trackers import Tracking


@dataclass
class Run:
    """A run in progress: its config, what it has loaded so far, and where it writes.

    `is_check` marks a dry run whose teacher is real: `kdrun check`. `generated` is what is known of the text that the
    run leaves behind, `taught` the teacher as it was fine-tuned; `transferability` is that of the student's rows, for a
    method that needs a meta-teacher.
    """

    config: Config
    command: str
    screen: Screen
    accelerator: Accelerator
    folder: RunFolder | None
    needs: Needs
    data: TaskData
    evaluator: Evaluator
    started: float
    roles: dict[str, Built] = field(default_factory=dict)
    tokens: dict[str, dict[str, TokenTable]] = field(default_factory=dict)
    tracking: Tracking | None = None
    samples: list[dict[str, Any]] = field(default_factory=list)
    generated: dict[str, Any] | None = None
    is_check: bool = False
    checks: list[Check] = field(default_factory=list)
    inspections: list[Inspection] = field(default_factory=list)
    teacher_outputs: dict[str, Outputs] = field(default_factory=dict)
    teacher_scores: Scores | None = None
    taught: teacher.Taught | None = None
    transferability: np.ndarray | None = None

    @property
    def used_roles(self) -> list[str]:
        """The roles that take part: a teacher that only lent its vocabulary or layers does not."""
        return [role for role in self.roles if role != "teacher" or self.needs.teacher]

    def dev_tokens(self, role: str) -> dict[str, TokenTable]:
        """A role's tokens of the dev splits."""
        return {split: table for split, table in tokens(self, role).items() if split != "train"}

    @property
    def select(self) -> Select:
        """Which checkpoint becomes the result: a run without the task's rows has none to choose by, unless told to."""
        return self.config.select or (Select.best_dev if self.learns_from_task else Select.last)

    @property
    def learns_from_task(self) -> bool:
        """Whether the student learns from the task's own rows; where not, at most its teacher reads them."""
        return "train" in self.data.splits


def accelerator(config: Config, run_folder: Path | None) -> Accelerator:
    """Device, arithmetic and tracker; jobs of a sweep share a process, so the last job's state is dropped first."""
    runtime, tracker = config.runtime, config.tracker
    if runtime.device is Device.cuda and not torch.cuda.is_available():
        raise ConfigError(["runtime.device=cuda, and torch sees no GPU here; use runtime.device=auto or cpu"])
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    if runtime.deterministic:  # read by cuBLAS when it starts: without it, its products are refused
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(runtime.deterministic)
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    precision = "bf16" if runtime.precision is Precision.bf16 else "no"
    made = Accelerator(
        cpu=runtime.device is Device.cpu,
        mixed_precision=precision,
        log_with=None if tracker is Tracker.none else tracker.value,
        project_dir=trackers.folder(config, run_folder),
    )
    if runtime.compile:
        compiling.must_be_possible(made.device)
    return made


def build_roles(this: Run) -> None:
    """Build teacher (where the method or the student needs one), student and generator."""
    config = this.config
    wanted = {"teacher": this.needs.teacher or config.student.starts_from_teacher, "student": True}
    wanted["generator"] = this.needs.generator
    for role in (role for role, needed in wanted.items() if needed):
        section = getattr(config, role)
        this.roles[role] = registry.build(role, section.name, section, context(this, role))
    unfit = list(text_roles.problems(config, this.needs, {r: _is_text_to_text(b) for r, b in this.roles.items()}))
    if unfit:  # of models from the hub, whose family their download told
        raise ConfigError(unfit)
    if this.needs.shared_vocabulary:
        _same_vocabulary(this.roles)
    elif this.evaluator.kind.writes and this.needs.teacher:
        _same_vocabulary({role: this.roles[role] for role in ("teacher", "student")})
    if this.needs.paired_layers:
        layer_facts(this)
    for built in this.roles.values():
        built.model.to(this.accelerator.device)


def context(this: Run, role: str) -> BuildContext:
    """What a builder is told beside its own section."""
    config = this.config
    return BuildContext(
        role=role,
        stray_weight=getattr(getattr(config, role), "stray_weight", 0.0),
        task=config.task,
        corpus=lambda: registry.build("corpus", config.corpus.name, config.corpus),
        seed=config.teacher.seed if role == "teacher" else config.seed,
        teacher=this.roles.get("teacher") if role != "teacher" else None,
        attn_implementation=attention.NAME if this.needs.attentions else "sdpa",
        max_length=config.data.max_length,
        device=this.accelerator.device.type,
        tell=this.screen.say,
        keeper=keeper(this, f"pretraining-{role}"),
    )


def layer_facts(this: Run) -> list[tuple[str, str]]:
    """Which layers of teacher and student are compared, for the screen.

    Raises:
        ModelError: their depths do not pair up.
    """
    return layer_pairs.facts(this.roles["student"].model.config, this.roles["teacher"].model.config)


def _is_text_to_text(built: Built) -> bool:
    return built.model.config.model_type == text_roles.FAMILY


def _same_vocabulary(roles: dict[str, Built]) -> None:
    first = roles["student"]
    for role, built in roles.items():
        if not loading.same_vocabulary(first.tokenizer, built.tokenizer):
            raise ModelError(
                "this method's models read one another's tokens or are compared token by token, so they must share "
                f"one vocabulary: the student ({first.name}, {len(first.tokenizer)} entries) and the {role} "
                f"({built.name}, {len(built.tokenizer)} entries) do not; student.tokenizer=teacher, for a student "
                "from scratch, takes the teacher's"
            )


def tokens(this: Run, role: str) -> dict[str, TokenTable]:
    """A role's tokens of the dev splits and, as `train`, of the rows the student learns from.

    Roles with one tokenizer and one kind of rows share them.
    """
    if role not in this.tokens:
        built = this.roles[role]
        for other, tables in this.tokens.items():
            if this.roles[other].tokenizer is built.tokenizer and this.roles[other].prompts == built.prompts:
                this.tokens[role] = tables
                return tables
        length = this.config.data.max_length
        splits = this.data.splits | {"train": this.data.lessons}
        this.tokens[role] = {
            name: tokenize(split, built.tokenizer, length, built.prompts) for name, split in splits.items()
        }
    return this.tokens[role]


def method(this: Run) -> Method:
    """The method with the models it may use: the teacher only where it needs one."""
    config = this.config
    entry = registry.get("method", config.method.name)
    loss = None
    if this.needs.teacher:
        loss = this.evaluator.kind.soft_loss(config.loss.name)
    roles: dict[str, nn.Module] = {role: this.roles[role].model for role in this.used_roles}
    if config.runtime.compile:
        compiling.compile_layers(roles.values())
    roles |= this.taught.modules if this.taught else {}
    device = this.accelerator.device
    between, length = this.needs.text_between, config.data.max_length
    words = _vocabulary(this) if this.needs.shared_vocabulary or (between and shares_vocabulary(this)) else None
    read = {r: Reader(b.tokenizer, length, b.prompts) for r, b in this.roles.items() if between and r in roles}
    parts = Parts(roles, config.task, loss, this.evaluator.kind.hard_loss, config.seed, device, words, read)
    return entry.target(config.method, parts)


def shares_vocabulary(this: Run) -> bool:
    """Whether all models of a run have one vocabulary."""
    first, *others = (this.roles[role].tokenizer for role in this.used_roles)
    return all(loading.same_vocabulary(first, other) for other in others)


def _vocabulary(this: Run) -> Vocabulary:
    """The vocabulary that the roles share: its mask token, and the ids that are no word for any of them."""
    tokenizers = {role: this.roles[role].tokenizer for role in this.used_roles}
    masks = [mask for tokenizer in tokenizers.values() if isinstance(mask := tokenizer.mask_token_id, int)]
    special = {index for tokenizer in tokenizers.values() for index in special_ids(tokenizer)}
    if "generator" in tokenizers:
        # T5's table has more rows than its vocabulary entries; and what lies behind the table it cannot give anyway
        size = int(this.roles["generator"].model.config.vocab_size)
        special = {i for i in special | set(range(len(tokenizers["generator"]), size)) if i < size}
    return Vocabulary(masks[0] if masks else None, torch.tensor(sorted(special), device=this.accelerator.device))


def teaching(this: Run) -> teacher.Setting:
    """Where the teacher is scored."""
    return teacher.Setting(this.config, this.dev_tokens("teacher"), this.evaluator, this.accelerator)


def keeper(this: Run, name: str, journal: Journal | None = None, settings: Any = None) -> Keeper | None:
    """Who keeps a training's checkpoints as `checkpoints/<name>`; nobody in a run that writes nothing.

    A training without a journal is not the run's own but that of what it begins with (its teacher's fine-tuning, a
    model's pretraining), of whose end the cache knows.
    """
    if this.folder is None:
        return None
    place = this.folder.path / "checkpoints" / name
    at_end = journal is not None
    return Keeper(place, this.config.checkpoint, this.screen.warn, journal, settings, at_end)


def feed(this: Run, method: Method) -> Feed:
    """The rows the student learns from, with what is kept of the teacher on them as far as the method needs it."""
    config, lessons, kept = this.config, this.data.lessons, None
    if this.evaluator.kind.writes:
        return _writing_feed(this)
    if this.needs.teacher_logits:
        setting, built, table = teaching(this), this.roles["teacher"], tokens(this, "teacher")["train"]
        if config.dry_run:  # a step's worth of the longest rows, which a dry run trains on
            sizes = np.cumsum([len(rows) for rows in by_length(table.lengths, this.evaluator.batch_size)])
            enough = int(np.searchsorted(sizes, config.optim.batch_size * config.optim.accumulate)) + 1
            kept = np.nan_to_num(this.evaluator.logits(built.model, table, limit=enough))
        else:
            kept = teacher.kept_logits(built, table, setting, this.screen.say)
    tables = {role: tokens(this, role)["train"] for role in this.needs.inputs}
    labels = lessons.labels() if this.needs.labels else None
    extras = {"domain": lessons.domains(), "transferability": this.transferability} if this.needs.domains else {}
    known = {name: values for name, values in extras.items() if values is not None}
    states, wanted = None, method.kept()
    if wanted is not None and not config.dry_run:
        table = tokens(this, "teacher")["train"]
        states = kept_states.keep(this.roles["teacher"], table, wanted, this.accelerator, this.screen.say)
    made = Feed(tables, labels, this.accelerator.device, kept, lessons.name, states, known)
    if config.dry_run:
        made.order = made.longest_first
    return made


def _writing_feed(this: Run) -> Feed:
    """The same of a task that is answered with a text: gold ones, or where the method sees no labels the teacher's."""
    config, lessons, student = this.config, this.data.lessons, this.roles["student"]
    if this.needs.labels:
        texts = lessons.labels().tolist()
    elif config.dry_run:
        texts = [entities.NONE] * lessons.num_rows  # a dry run's steps do not hang on what is written
    else:
        texts = writing.kept_answers(
            this.roles["teacher"], tokens(this, "teacher")["train"], this.evaluator, this.screen.say
        )
    targets = writing.targets(texts, student, config.task.answer_tokens, gold=this.needs.labels)
    if targets.num_cut:
        this.screen.note(
            f"{targets.num_cut} of {targets.num_rows} answers are longer than task.answer_tokens={targets.limit}: the "
            "rest of them is not learnt"
        )
    live, roles = None, dict.fromkeys(this.needs.inputs)
    if this.needs.teacher_logits:
        live, roles = writing.live_logits(this.roles["teacher"].model, this.accelerator), roles | {"teacher": None}
    tables = {role: tokens(this, role)["train"] for role in roles}
    made = Feed(tables, None, this.accelerator.device, split=lessons.name, targets=targets, live=live)
    if config.dry_run:
        made.order = made.longest_first
    return made
