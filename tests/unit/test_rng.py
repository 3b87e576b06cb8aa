"""Random streams: functions of their arguments alone, in any process."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from kdrun import rng
from tests.helpers.paths import ROOT

ARGUMENTS = (3, "mask", "distil", 17)
CHANGES = [(4, "mask", "distil", 17), (3, "gumbel", "distil", 17), (3, "mask", "warm", 17), (3, "mask", "distil", 18)]

ELSEWHERE = f"""
import json, torch, numpy as np
from kdrun import rng
torch.manual_seed(99); np.random.seed(99)
print(json.dumps([
    rng.derive(*{ARGUMENTS!r}),
    torch.rand(4, generator=rng.stream(*{ARGUMENTS!r})).tolist(),
    rng.numpy_stream(*{ARGUMENTS!r}).random(4).tolist(),
]))
"""


def draws(*arguments: object) -> list[float]:
    return torch.rand(4, generator=rng.stream(*arguments)).tolist()  # type: ignore[arg-type]


def test_another_process_draws_the_same() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], env=env, capture_output=True, text=True, check=True)
    seed, values, numpy_values = json.loads(done.stdout)
    assert seed == rng.derive(*ARGUMENTS)
    assert values == draws(*ARGUMENTS)
    assert numpy_values == rng.numpy_stream(*ARGUMENTS).random(4).tolist()


def test_a_known_value() -> None:
    """Changing the hash changes every published run: do so on purpose or not at all."""
    assert rng.derive(1, "order") == 400_775_917_944_299_163


@pytest.mark.parametrize("changed", CHANGES)
def test_each_argument_matters(changed: tuple[int, str, str, int]) -> None:
    assert draws(*changed) != draws(*ARGUMENTS)
    assert (rng.numpy_stream(*changed).random(4) != rng.numpy_stream(*ARGUMENTS).random(4)).any()


def test_many_arguments_give_as_many_seeds() -> None:
    every = itertools.product(range(5), ("mask", "order", "m"), ("", "a", "ask"), range(20))
    seeds = [rng.derive(*one) for one in every]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_arguments_do_not_run_together() -> None:
    assert rng.derive(1, "a", "b1") != rng.derive(1, "a", "b", 1)
    assert rng.derive(11, "x", "", 0) != rng.derive(1, "1x", "", 0)
    assert rng.derive(1, "ab", "c") != rng.derive(1, "a", "bc")


def test_a_stream_is_fresh_every_time() -> None:
    first = rng.stream(*ARGUMENTS)
    torch.rand(100, generator=first)
    assert draws(*ARGUMENTS) == draws(*ARGUMENTS)


def test_global_generators_are_untouched() -> None:
    before = torch.get_rng_state(), np.random.get_state(legacy=True), random.getstate()
    torch.rand(3, generator=rng.stream(*ARGUMENTS))
    rng.numpy_stream(*ARGUMENTS).random(3)
    after = torch.get_rng_state(), np.random.get_state(legacy=True), random.getstate()
    assert torch.equal(before[0], after[0])
    assert str(before[1]) == str(after[1])
    assert before[2] == after[2]


def test_global_generators_do_not_matter() -> None:
    torch.manual_seed(1)
    first = draws(*ARGUMENTS)
    torch.manual_seed(2)
    assert draws(*ARGUMENTS) == first
