"""Several processes: shares, exchange, agreement on a step, one cache entry."""

from typing import Any

import pytest
import torch
from torch import nn

from kdrun import ranks
from kdrun.errors import ConfigError, KdrunError, describe, restore
from kdrun.training.step_exchange import StepAgreement, agree_on_step
from tests.helpers.processes import run_together


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("processes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDRUN_CACHE", str(folder / "cache"))
        return run_together("tests.helpers.exchanges:all_exchanges", 2, folder)


def test_one_process_shares_with_nobody() -> None:
    assert (ranks.rank(), ranks.size(), ranks.is_first()) == (0, 1, True)
    assert ranks.share([1, 2, 3]) == [1, 2, 3]
    assert ranks.gather("a") == ["a"]
    assert ranks.from_first("a") == ranks.by_first(lambda: "a") == "a"
    gradient = torch.ones(2)
    ranks.sum_tensors([gradient])
    assert gradient.tolist() == [1, 1]
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = gradient
    assert agree_on_step([parameter], 3, None, None, False) == StepAgreement(3)


@pytest.mark.parametrize(
    ("rank", "size", "expected"),
    [("1", "2", (1, 2)), ("", "2", (0, 1)), ("0", "", (0, 1)), ("x", "2", (0, 1)), ("0", "1", (0, 1))],
)
def test_torchrun_numbers_the_processes(
    monkeypatch: pytest.MonkeyPatch, rank: str, size: str, expected: tuple[int, int]
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    assert ranks.started_as() == expected


def test_an_error_travels_as_plain_data() -> None:
    class Local(Exception):
        pass

    assert type(restore(describe(Local("x=1")))) is KdrunError
    assert "x=1" in str(restore(describe(Local("x=1"))))
    problems = restore(describe(ConfigError(["optim.lr=-1", "seed=-1"])))
    assert isinstance(problems, ConfigError)
    assert problems.problems == ["optim.lr=-1", "seed=-1"]


def test_values_reach_every_process(two: list[dict[str, Any]]) -> None:
    assert [facts["rank"] for facts in two] == [[0, 2, True], [1, 2, False]]
    assert [facts["share"] for facts in two] == [[0, 2, 4], [1, 3]]
    for facts in two:
        assert facts["from_first"] == {"rank": 0}
        assert facts["gather"] == [0, 10]
        assert facts["by_first"] == [0, 1]  # the first process acts alone
        assert facts["alone"] == [1, [facts["rank"][0]], [0, 1, 2]]
        assert "ConfigError" in facts["error_by_first"]
        assert "optim.lr=-1" in facts["error_by_first"]


def test_a_step_has_the_sum_of_all_gradients(two: list[dict[str, Any]]) -> None:
    for facts in two:
        assert facts["agreement"] == [7, 15, True]
        assert facts["gradients"] == [[3, 3, 3], [5, 7], None]  # without a gradient anywhere there is none
        assert facts["means"] == {"soft": 2.0, "hard": 2.0}
        assert facts["baseline"] == 0.5 * 1 + 0.5 * 5


def test_an_error_of_one_process_is_raised_in_all(two: list[dict[str, Any]]) -> None:
    for facts in two:
        assert facts["error_of_step"].startswith("TrainingError")
        assert "[7]" in facts["error_of_step"]


def test_one_cache_entry_is_built_for_all(two: list[dict[str, Any]]) -> None:
    first, other = two
    for facts in two:
        assert [value for value, _ in facts["cache"]] == ["by 0"] * 3
        assert [existed for _, existed in facts["cache"]] == [False, False, True]
        assert facts["entries"] == 2
    assert first["built"] == ["alone", 2]
    assert other["built"] == [2]


def test_messages_wait_for_nobody(two: list[dict[str, Any]]) -> None:
    assert two[1]["message"] == "hello"
    assert all(facts["missing"].startswith("TimeoutError") for facts in two)
