"""Settings that do not work with weights divided among processes."""

import pytest

from kdrun import registry
from kdrun.config import compose
from kdrun.config.requirements import requirements_of
from kdrun.config.runtime import Shard
from kdrun.config.validation.sharding import sharding_problems
from kdrun.errors import Problem

TWO = "runtime.devices=2"


def problems(*overrides: str) -> list[Problem]:
    config = compose.to_config(compose.compose(["preset=smoke", *overrides]))
    return list(sharding_problems(config, requirements_of(config)))


@pytest.mark.parametrize("method", ["kd", "kd_ood", "finetune"])
@pytest.mark.parametrize("shard", list(Shard))
def test_methods_that_use_whole_forward_passes(method: str, shard: Shard) -> None:
    assert problems(f"method={method}", TWO, f"runtime.shard={shard.value}") == []


@pytest.mark.parametrize(
    ("overrides", "key", "values"),
    [
        (["method=mate_kd", "runtime.shard=student"], "runtime.shard", ["method=mate_kd", "generates text"]),
        (["method=zskd", "runtime.shard=student"], "runtime.shard", ["method=zskd", "generates text"]),
        (["method=dfkd_t3", "runtime.shard=teacher"], "runtime.shard", ["method=dfkd_t3", "generates text"]),
        (["method=kd_augment", "runtime.shard=teacher"], "runtime.shard", ["method=kd_augment", "generates text"]),
        (["method=kd_freelb", "runtime.shard=student"], "runtime.shard", ["method=kd_freelb", "word embeddings"]),
        (["method=tinybert_kd", "runtime.shard=student"], "runtime.shard", ["method=tinybert_kd", "projection"]),
        (["method=minilm", "runtime.shard=student"], "runtime.shard", ["method=minilm", "reads queries, keys and"]),
        (
            ["method=meta_kd", "task=amazon", "method.domain=books", "runtime.shard=teacher"],
            "runtime.shard",
            ["method=meta_kd", "meta-teacher"],
        ),
        (
            ["method=tinybert_kd", "method.teacher_states=keep", "runtime.shard=teacher"],
            "method.teacher_states",
            ["keep"],
        ),
        (["method=kd", "runtime.compile=true", "runtime.shard=teacher"], "runtime.compile", ["true"]),
        (["method=kd", "cost_card=true", "runtime.shard=student"], "cost_card", ["true"]),
        (["method=kd", "task=conll2003", "preset=t5_writer", "runtime.shard=student"], "runtime.shard", ["conll2003"]),
        (
            ["method=kd", "teacher=recorded", "teacher.path=FILE", "runtime.shard=teacher"],
            "runtime.shard",
            ["teacher=recorded"],
        ),
    ],
)
def test_refused_with_the_reason(overrides: list[str], key: str, values: list[str]) -> None:
    (problem,) = problems(*overrides, TWO)
    assert problem.key == key
    assert all(value in problem for value in [*values, "runtime.shard="])


def test_a_method_that_is_refused_names_those_that_fit() -> None:
    (problem,) = problems("method=zskd", TWO, "runtime.shard=student")
    fitting = str(problem).rpartition("can: ")[2]
    assert {"kd", "kd_ood", "finetune"} <= set(fitting.rstrip(")").split(", "))
    assert not {"zskd", "mate_kd", "kd_freelb"} & set(fitting.rstrip(")").split(", "))


def test_a_frozen_teacher_may_be_divided_where_the_student_may_not() -> None:
    for method in ("tinybert_kd", "minilm", "pkd", "crd", "kd_freelb"):
        assert problems(f"method={method}", TWO, "runtime.shard=teacher") == []


def test_one_process_has_no_other_to_divide_with(monkeypatch: pytest.MonkeyPatch) -> None:
    (problem,) = problems("method=kd", "runtime.shard=both")
    assert (problem.key, problem.value) == ("runtime.shard", "both")
    assert "runtime.devices=N" in problem
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert problems("method=kd", "runtime.shard=both") == []


def test_every_method_states_its_obstacles() -> None:
    entries = {name: entry.target.requires for name, entry in registry.entries("method").items()}
    assert not entries["kd"].obstacles_to_sharding("student")
    assert all(need.obstacles_to_sharding("student") for need in entries.values() if need.generator)
