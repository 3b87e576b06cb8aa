"""Capture and restore the trainer's state between two steps.

Data order, masks, noise and dropout are functions of the seed and of counters, so the counters stand for them.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from kdrun.errors import CheckpointError
from kdrun.storage import state_tensors
from kdrun.storage.checkpoint_files import CheckpointData
from kdrun.training.context import TrainerContext
from kdrun.training.phase_runner import PhaseRunner

FILES = {"student": "model"}
"""File of a role's weights, where it is not the role's name: plain transformers reads the student's."""
FIELDS = {"stopped_roles": "rests"}
"""Key of a field of the result in a checkpoint, where it is not the field's name."""
BEST, OPTIMIZER, REST = "best", "optimizer", "rest"


def capture_state(context: TrainerContext, runner: PhaseRunner) -> CheckpointData:
    """The training as it stands; its tensors are those in use, not copies."""
    tensors = {FILES.get(name, name): state_tensors.module_tensors(m) for name, m in _modules(context).items()}
    if context.best_state is not None:
        tensors[BEST] = {f"{i}/{k}": v for i, state in enumerate(context.best_state) for k, v in state.items()}
    plain: dict[str, Any] = {}
    if not runner.is_over:  # the next phase has optimizers of its own
        for role, optimizer in runner.optimizers.items():
            tensors[f"{OPTIMIZER}.{role}"], plain[role] = state_tensors.optimizer_tensors(optimizer)
    rest = {"feed/was_read": torch.from_numpy(context.loader.rows_seen)}
    for role, tally in runner.running_means.items():
        rest |= {f"tally/{role}/{name}": value for name, value in tally.sums.items()}
    carried, told = state_tensors.split_tensors(context.method.state())
    tensors[REST] = rest | {f"method/{name}": value for name, value in carried.items()}
    state = {
        "phase": runner.phase.name,
        "step": runner.step,
        "number": context.phase_number,
        "taken": runner.steps_by_role,
        "is_pending": runner.evaluation_due,
        "still_zero": {role: sorted(terms) for role, terms in runner.always_zero_terms.items()},
        "tallies": {
            role: {"count": tally.count, "seconds": tally.seconds, "last": tally.last}
            for role, tally in runner.running_means.items()
        },
        "optimizers": plain,
        "method": told,
        "outcome": {FIELDS.get(name, name): value for name, value in asdict(context.result).items()},
    }
    return CheckpointData(tensors, state)


def restore_models(context: TrainerContext, content: CheckpointData) -> None:
    """Give the roles' models their weights: before the phase begins, which may look at them."""
    for name, module in _modules(context).items():
        if name in context.method.roles:
            state_tensors.load_module_tensors(module, _file(content, FILES.get(name, name)), name)


def restore_state(context: TrainerContext, runner: PhaseRunner, content: CheckpointData) -> None:
    """Give everything else back, after the phase began.

    Raises:
        CheckpointError: the checkpoint is of another training.
    """
    state, rest = content.state, _file(content, REST)
    for name, module in _modules(context).items():
        state_tensors.load_module_tensors(module, _file(content, FILES.get(name, name)), name)
    if BEST in content.tensors:
        context.best_state = _best(context, content.tensors[BEST])
    runner.steps_by_role, runner.step, runner.evaluation_due = state["taken"], state["step"], state["is_pending"]
    runner.always_zero_terms = {role: frozenset(terms) for role, terms in state["still_zero"].items()}
    for role, facts in state["tallies"].items():
        tally = runner.running_means[role]
        tally.count, tally.seconds, tally.last = facts["count"], facts["seconds"], facts["last"]
        tally.sums = {k: v.to(context.accelerator.device) for k, v in _under(rest, f"tally/{role}/").items()}
    for role, plain in state["optimizers"].items():
        state_tensors.load_optimizer_tensors(runner.optimizer(role), _file(content, f"{OPTIMIZER}.{role}"), plain)
    attributes = {key: name for name, key in FIELDS.items()}
    for key, value in state["outcome"].items():
        setattr(context.result, attributes.get(key) or key, value)
    context.loader.load_state(rest["feed/was_read"].numpy())
    context.method.load_state({**_under(rest, "method/"), **state["method"]})


def _modules(context: TrainerContext) -> dict[str, nn.Module]:
    """What has been trained up to now: the models of the roles that had turns, and what trains beside them now."""
    roles = dict.fromkeys(turn.role for phase in context.phases[: context.phase_number + 1] for turn in phase.turns)
    found: dict[str, nn.Module] = {}
    for role in roles:
        own = context.method.roles.get(role)
        beside = [module for module in context.method.trainable(role) if module is not own]
        found |= {} if own is None else {role: own}
        found |= {f"{role}.{i}": module for i, module in enumerate(beside, 1)}
    return found


def _file(content: CheckpointData, name: str) -> dict[str, Tensor]:
    if name not in content.tensors:
        raise CheckpointError(f"the checkpoint of phase {content.state['phase']!r} has no {name}.safetensors")
    return content.tensors[name]


def _best(context: TrainerContext, tensors: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    count = len(list(context.method.trainable("student")))
    return [
        {name: value.to(context.accelerator.device) for name, value in _under(tensors, f"{i}/").items()}
        for i in range(count)
    ]


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
