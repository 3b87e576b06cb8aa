"""Pretrain a model on the corpus, resumable and cached."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from kdrun import losses, ranks
from kdrun.config.model import PretrainConfig, PretrainObjective
from kdrun.config.optim import OptimConfig, OptimizerConfig
from kdrun.config.runtime import CheckpointSelection
from kdrun.data.batch import Batch
from kdrun.data.corpus.line_loader import LineLoader
from kdrun.data.corpus.line_tokens import tokenize_lines
from kdrun.data.tokenization import tokenizer_fingerprint
from kdrun.errors import TrainingError
from kdrun.methods.base import Method, MethodContext, StepOutput
from kdrun.methods.phases import Phase, Turn
from kdrun.models import families
from kdrun.models.bundle import BuildContext
from kdrun.models.hub_files import silence_transformers
from kdrun.models.masked_lm import MaskedLMObjective
from kdrun.models.parameters import neutral_config, sizes_of
from kdrun.models.pretrained_body import PretrainedBody
from kdrun.models.relation_objective import RelationObjective
from kdrun.models.span_corruption import SpanCorruptionObjective
from kdrun.rng import seeded_init
from kdrun.storage import cache, checkpoint_files, hashing
from kdrun.storage.checkpoint_manager import CheckpointManager, Resumable
from kdrun.storage.json_reader import read_object
from kdrun.training.callbacks import TrainerCallback
from kdrun.training.optim import CLIP_EPS, UpdateRule
from kdrun.training.step_checks import FirstStepReport
from kdrun.training.trainer import Trainer, TrainerSettings

FORMAT = 1
"""Number of the procedure below; part of the cache key."""

ROLE = "model"
WARMUP = 0.1
WEIGHTS, REPORT = "model.safetensors", "pretraining.json"

Objective = MaskedLMObjective | SpanCorruptionObjective | RelationObjective
log = logging.getLogger(__name__)


class Pretraining(Method):
    """Train a model on its objective, always in fp32, regardless of `runtime.precision`.

    Args:
        config: steps and batch size.
        context: holds the model as the role `model`.
        objective: computes the loss of a batch of text.
    """

    def __init__(self, config: PretrainConfig, context: MethodContext, objective: Objective) -> None:
        super().__init__(config, context)
        self.objective = objective

    def optimizers(self, optim: OptimConfig, phase: Phase) -> dict[str, OptimizerConfig]:
        """The run's optimizer, for the role `model`."""
        return {ROLE: optim}

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """The objective's loss and count: predicted tokens, or rows."""
        model: Any = self.roles[ROLE]
        with torch.autocast(self.context.device.type, enabled=False):
            loss, count = self.objective.loss(
                model, batch.inputs[ROLE]["input_ids"], self.context.seed, batch.phase, batch.step
            )
        return StepOutput(loss, count, {self.objective.term: loss.detach()})


class PretrainingUpdateRule(UpdateRule):
    """PyTorch's unfused AdamW and fp32 clipping, and a trapezoid schedule.

    Other trainings differ from this one by rounding and by one step of the schedule. Cached bodies were trained with
    this rule; a change needs a new `FORMAT`.
    """

    def make_optimizer(self, modules: Iterable[nn.Module], config: OptimizerConfig) -> torch.optim.Optimizer:
        """AdamW with parameters in the model's order, the order of the sum in the gradient norm; matrices decay."""
        parameters = [p for module in modules for p in module.parameters()]
        groups = [
            {"params": list(group), "weight_decay": config.weight_decay if decays else 0.0}
            for decays, group in groupby(parameters, key=lambda p: p.ndim > 1)
        ]
        return torch.optim.AdamW(groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.eps)

    def learning_rate(self, config: OptimizerConfig, step: int, total: int, decay_end: int | None = None) -> float:
        """Linear to the peak over the warm-up, then linear to zero: lr · min((step+1)/w, (total−step)/(total−w))."""
        warmup = max(1, round(config.warmup_ratio * total))
        return config.lr * min((step + 1) / warmup, max(0.0, (total - step) / max(1, total - warmup)))

    def clip_factor(self, norm: Any, clip_norm: float) -> Any:
        """As `torch.nn.utils.clip_grad_norm_`, in fp32."""
        return float((clip_norm / (torch.tensor(norm) + CLIP_EPS)).clamp(max=1.0))


class LossHistory(TrainerCallback):
    """Callback that records the mean loss of every step.

    Args:
        role: role of the model.
        key: hash of everything that the pretraining depends on; a checkpoint with another hash is not used.
    """

    def __init__(self, role: str, key: str) -> None:
        self.role, self.key, self.losses = role, key, list[float]()

    def on_log(self, record: dict[str, Any], total: int) -> None:
        """Record the loss."""
        self.losses.append(record["loss"])

    def on_first_step(self, report: FirstStepReport) -> None:
        """Log the warnings of the first step."""
        for warning in report.warnings():
            log.warning("%s: %s", self.role, warning)

    def state(self) -> dict[str, Any]:
        """The losses so far, for a checkpoint."""
        return {"of": self.key, "losses": self.losses}

    def missing_since(self, state: dict[str, Any]) -> str | None:
        """Reason not to use a checkpoint: it belongs to another pretraining; None for one of this pretraining."""
        return None if state.get("of") == self.key else "it belongs to another pretraining"

    def load_state(self, state: dict[str, Any]) -> None:
        """Resume from these losses."""
        self.losses = list(state.get("losses", []))
        if self.losses:
            log.info("%s: pretraining resumes after step %d", self.role, len(self.losses))


MakeCheckpointManager = Callable[[Resumable, PreTrainedConfig], CheckpointManager | None]


def pretrain(
    model_config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    config: PretrainConfig,
    context: BuildContext,
    accelerator: Accelerator,
    make_checkpoints: MakeCheckpointManager,
    start: PreTrainedModel | None = None,
) -> PretrainedBody:
    """Fetch the pretrained model of this config from the cache, or pretrain it.

    Args:
        model_config: sizes of the model.
        tokenizer: the model's.
        config: steps, batch size, masking and learning rate.
        context: role, seed, corpus, and the teacher if its relations are learned.
        accelerator: device.
        make_checkpoints: creates the manager of checkpoints, which are deleted at the end of the pretraining.
        start: body that a relation distillation starts from; None for random weights.

    Raises:
        TrainingError: the loss became infinite or NaN.
        ModelError: the tokenizer has no mask token (or, for T5, no sentinels), or the teacher does not fit.
    """
    objective = _make_objective(model_config, tokenizer, config, context, start)
    corpus, shape = context.corpus(), neutral_config(model_config)  # one pretrained body serves all tasks
    key = _cache_key(shape, tokenizer, corpus.fingerprint, objective.settings(config), context, accelerator)
    history = LossHistory(context.role, hashing.digest(key))
    checkpoints = make_checkpoints(history, shape)

    def build(folder: Path) -> None:
        source = f": {objective.source}" if objective.source else ""
        log.info("%s: %d steps of pretraining on %s, once%s", context.role, config.steps, corpus.name, source)
        tokens = tokenize_lines(corpus, tokenizer, config.steps * config.batch_size, config.max_length)
        loader = LineLoader(tokens, tokenizer, ROLE)
        model = _train(shape, objective, loader, config, context, accelerator, history, checkpoints)
        tenth = max(1, len(history.losses) // 10)
        report = {
            "first_loss": float(np.mean(history.losses[:tenth])),
            "last_loss": float(np.mean(history.losses[-tenth:])),
        }
        with silence_transformers():
            model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / REPORT).write_text(json.dumps(report))

    def read(folder: Path) -> tuple[dict[str, Tensor], dict[str, float]]:
        return load_file(folder / WEIGHTS), read_object(
            (folder / REPORT).read_bytes(), {"first_loss": float, "last_loss": float}, str(folder / REPORT)
        )

    (weights, report), _ = cache.fetch("pretrained", key, build, read)
    if checkpoints is not None and ranks.is_first():
        checkpoint_files.delete_checkpoints(checkpoints.place, newest=True)
    losses_of_ends = report["first_loss"], report["last_loss"]
    return PretrainedBody(weights, corpus.name, *losses_of_ends, config.steps, objective.unit, objective.source)


def _make_objective(
    model_config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    config: PretrainConfig,
    context: BuildContext,
    start: PreTrainedModel | None,
) -> Objective:
    if config.objective is PretrainObjective.relations:
        return RelationObjective(config, tokenizer, context, model_config, start)
    objective_class = SpanCorruptionObjective if families.is_text_to_text(model_config) else MaskedLMObjective
    return objective_class(config, tokenizer, context.role)


def _cache_key(
    model_config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    corpus_fingerprint: str,
    objective_settings: dict[str, Any],
    context: BuildContext,
    accelerator: Accelerator,
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "sizes": sizes_of(model_config),
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "corpus": corpus_fingerprint,
        "pretrain": objective_settings,
        "seed": [context.seed, context.role],
        "device": accelerator.device.type,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def _train(
    model_config: PreTrainedConfig,
    objective: Objective,
    loader: LineLoader,
    config: PretrainConfig,
    context: BuildContext,
    accelerator: Accelerator,
    history: LossHistory,
    checkpoints: CheckpointManager | None,
) -> PreTrainedModel:
    """The trained model, on the CPU."""
    device = accelerator.device
    with seeded_init(context.seed, context.role):
        model = objective.new(model_config).to(device)  # pyright: ignore[reportArgumentType]
    teacher = objective.teacher if isinstance(objective, RelationObjective) else nn.Module()
    optim = OptimConfig(lr=config.lr, warmup_ratio=WARMUP, steps=config.steps, batch_size=config.batch_size)
    method_context = MethodContext({ROLE: model}, context.task, None, losses.token_cross_entropy, context.seed, device)
    method = Pretraining(config, method_context, objective)
    name = f"pretrain-{context.role}"
    phase = Phase(name, (Turn(ROLE),), steps=config.steps, batch_size=config.batch_size, evaluated=False)
    settings = TrainerSettings(
        optim, context.seed, log_every=1, select=CheckpointSelection.last, update_rule=PretrainingUpdateRule()
    )
    trainer = Trainer(method, [phase], loader, settings, accelerator, lambda: (None, {}), history, checkpoints)
    # dropout draws from the global generators, which others use too
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            teacher.to(device)
            trainer.run()
        except TrainingError as error:
            raise TrainingError(f"{error}; lower {context.role}.pretrain.lr={config.lr}") from error
        finally:
            teacher.cpu()
    return model.cpu()
