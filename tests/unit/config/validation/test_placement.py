"""Settings that do not work with a teacher that is spread over devices."""

import pytest

from kdrun.config import compose
from kdrun.config.identity import config_hash
from kdrun.config.requirements import requirements_of
from kdrun.config.validation.placement import memory_limits, placement_problems
from kdrun.errors import Problem

AUTO = "teacher.placement=auto"


def problems(*overrides: str) -> list[Problem]:
    config = compose.to_config(compose.compose(["preset=smoke", *overrides]))
    return list(placement_problems(config, requirements_of(config)))


@pytest.mark.parametrize(
    "method", ["kd", "kd_ood", "kd_freelb", "kd_augment", "tinybert_kd", "minilm", "pkd", "crd", "finetune"]
)
def test_methods_that_call_the_whole_teacher(method: str) -> None:
    assert problems(f"method={method}", AUTO, "teacher.max_memory={0: 20GiB, cpu: 60GB}") == []


def test_generated_text_reaches_a_spread_teacher_as_text() -> None:
    assert problems("method=dfkd_t3", "method.gradient=score", AUTO) == []


@pytest.mark.parametrize(
    ("overrides", "key", "values"),
    [
        (["method=mate_kd"], "teacher.placement", ["method=mate_kd", "gradients through the teacher"]),
        (["method=zskd"], "teacher.placement", ["method=zskd", "gradients through the teacher"]),
        (["method=dfkd_t3"], "teacher.placement", ["method=dfkd_t3", "method.gradient=score"]),
        (["method=meta_kd", "task=amazon", "method.domain=books"], "teacher.placement", ["meta_kd", "meta-teacher"]),
        (["teacher=t5_smoke"], "teacher.placement", ["text-to-text"]),
        (["teacher=recorded", "teacher.path=FILE"], "teacher.placement", ["teacher=recorded"]),
        (["teacher.fine_tune=always"], "teacher.fine_tune", ["always", "teacher.path=FOLDER"]),
        (["runtime.devices=2"], "runtime.devices", ["one process", "runtime.shard=teacher"]),
        (["runtime.compile=true"], "runtime.compile", ["true"]),
        (["cost_card=true"], "cost_card", ["true"]),
        (["teacher.max_memory={0: much}"], "teacher.max_memory", ["0: much", "20GiB"]),
        (["teacher.max_memory={disk: 4GB}"], "teacher.max_memory", ["'disk'", "the disk takes the rest"]),
        (["teacher.max_memory=4GB"], "teacher.max_memory", ["4GB", "cpu: 60GiB"]),
    ],
)
def test_refused_with_the_reason(overrides: list[str], key: str, values: list[str]) -> None:
    (problem,) = problems(*overrides, AUTO)
    assert problem.key == key
    assert all(value in problem for value in values)


def test_limits_without_placement_are_refused() -> None:
    (problem,) = problems("teacher.max_memory={cpu: 1GB}")
    assert problem.key == "teacher.max_memory"
    assert "teacher.placement=auto" in problem


def test_sizes_are_read_as_bytes() -> None:
    config = compose.load_config(["preset=smoke", AUTO, "teacher.max_memory={0: 2GiB, cpu: 1.5GB, 1: 4096}"])
    assert memory_limits(config.teacher.max_memory) == {0: 2 * 1024**3, "cpu": 1_500_000_000, 1: 4096}


def test_placement_is_no_part_of_the_identity() -> None:
    plain, spread = (compose.load_config(["preset=smoke", *more]) for more in ([], [AUTO]))
    assert config_hash(plain) == config_hash(spread)
