"""All that a training is, between two of its steps: what a checkpoint holds, and how the loop takes it up again.

Data order, masks, noise and dropout are functions of the seed and of counters, so the counters stand for them.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from kdrun import checkpoint
from kdrun.checkpoint import Content
from kdrun.errors import CheckpointError

if TYPE_CHECKING:
    from kdrun.loop import Loop
    from kdrun.stretch import Stretch

FILES = {"student": "model"}
"""File of a role's weights, where it is not the role's name: plain transformers reads the student's."""
BEST, OPTIMIZER, REST = "best", "optimizer", "rest"


def take(loop: Loop, stretch: Stretch) -> Content:
    """The training as it stands; its tensors are those in use, not copies."""
    tensors = {FILES.get(name, name): checkpoint.tensors_of(m) for name, m in _modules(loop).items()}
    if loop.best_state is not None:
        tensors[BEST] = {f"{i}/{k}": v for i, state in enumerate(loop.best_state) for k, v in state.items()}
    plain: dict[str, Any] = {}
    if not stretch.is_over:  # the next phase has optimizers of its own
        for role, optimizer in stretch.optimizers.items():
            tensors[f"{OPTIMIZER}.{role}"], plain[role] = checkpoint.optimizer_state(optimizer)
    rest = {"feed/was_read": torch.from_numpy(loop.feed.was_read)}
    for role, tally in stretch.tallies.items():
        rest |= {f"tally/{role}/{name}": value for name, value in tally.sums.items()}
    carried, told = checkpoint.split(loop.method.state())
    tensors[REST] = rest | {f"method/{name}": value for name, value in carried.items()}
    state = {
        "phase": stretch.phase.name,
        "step": stretch.done,
        "number": loop.number,
        "taken": stretch.taken,
        "is_pending": stretch.is_pending,
        "still_zero": {role: sorted(terms) for role, terms in stretch.still_zero.items()},
        "tallies": {
            role: {"count": tally.count, "seconds": tally.seconds, "last": tally.last}
            for role, tally in stretch.tallies.items()
        },
        "optimizers": plain,
        "method": told,
        "outcome": asdict(loop.outcome),
    }
    return Content(tensors, state)


def put_back_roles(loop: Loop, content: Content) -> None:
    """Give the roles' models their weights: before the phase begins, which may look at them."""
    for name, module in _modules(loop).items():
        if name in loop.method.roles:
            checkpoint.put_back(module, _file(content, FILES.get(name, name)), name)


def put_back(loop: Loop, stretch: Stretch, content: Content) -> None:
    """Give everything else back, after the phase began.

    Raises:
        CheckpointError: the checkpoint is of another training.
    """
    state, rest = content.state, _file(content, REST)
    for name, module in _modules(loop).items():
        checkpoint.put_back(module, _file(content, FILES.get(name, name)), name)
    if BEST in content.tensors:
        loop.best_state = _best(loop, content.tensors[BEST])
    stretch.taken, stretch.done, stretch.is_pending = state["taken"], state["step"], state["is_pending"]
    stretch.still_zero = {role: frozenset(terms) for role, terms in state["still_zero"].items()}
    for role, facts in state["tallies"].items():
        tally = stretch.tallies[role]
        tally.count, tally.seconds, tally.last = facts["count"], facts["seconds"], facts["last"]
        tally.sums = {k: v.to(loop.accelerator.device) for k, v in _under(rest, f"tally/{role}/").items()}
    for role, plain in state["optimizers"].items():
        checkpoint.put_back_optimizer(stretch.optimizer(role), _file(content, f"{OPTIMIZER}.{role}"), plain)
    for name, value in state["outcome"].items():
        setattr(loop.outcome, name, value)
    loop.feed.take_up(rest["feed/was_read"].numpy())
    loop.method.load_state({**_under(rest, "method/"), **state["method"]})


def _modules(loop: Loop) -> dict[str, nn.Module]:
    """What has been trained up to now: the models of the roles that had turns, and what trains beside them now."""
    roles = dict.fromkeys(turn.role for phase in loop.phases[: loop.number + 1] for turn in phase.turns)
    found: dict[str, nn.Module] = {}
    for role in roles:
        own = loop.method.roles.get(role)
        beside = [module for module in loop.method.trainable(role) if module is not own]
        found |= {} if own is None else {role: own}
        found |= {f"{role}.{i}": module for i, module in enumerate(beside, 1)}
    return found


def _file(content: Content, name: str) -> dict[str, Tensor]:
    if name not in content.tensors:
        raise CheckpointError(f"the checkpoint of phase {content.state['phase']!r} has no {name}.safetensors")
    return content.tensors[name]


def _best(loop: Loop, tensors: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    count = len(list(loop.method.trainable("student")))
    return [
        {name: value.to(loop.accelerator.device) for name, value in _under(tensors, f"{i}/").items()}
        for i in range(count)
    ]


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
