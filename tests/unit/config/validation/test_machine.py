"""Rules about this process and machine."""

import pytest

from kdrun.config import compose
from kdrun.config.validation import machine
from kdrun.errors import ConfigError, Problem


def problems(*overrides: str) -> list[Problem]:
    return list(machine.machine_problems(compose.to_config(compose.compose(["preset=smoke", *overrides]))))


@pytest.mark.parametrize("name", machine.PROCESS_COUNTS)
def test_several_processes_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("1", "", "none"):
        monkeypatch.setenv(name, value)
        assert list(machine.repeated_run_problems()) == []
    monkeypatch.setenv(name, "2")
    (problem,) = machine.repeated_run_problems()
    assert problem.value == "2"
    assert name in problem
    with pytest.raises(ConfigError, match=name):
        compose.load_config(["preset=smoke"])
    assert compose.validate_overrides(["preset=smoke", "seed=1,2"], multirun=True) == []  # they share the cells
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert list(machine.repeated_run_problems()) == []  # torchrun: they compute the run together


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("runtime.threads=100000", "runtime.threads"),
        ("student.vocab_size=1000000000", "student.sizes"),
        ("++student.sizes.hidden_size=1000000000", "student.sizes"),
        ("++student.sizes.num_hidden_layers=1000000000", "student.sizes"),
        ("++teacher.sizes.intermediate_size=1000000000000", "teacher.sizes"),
    ],
)
def test_impossible_sizes_are_refused_before_anything_is_built(override: str, key: str) -> None:
    assert [problem.key for problem in problems("student=smoke", "teacher=smoke", override)] == [key]


def test_parameters_are_a_lower_bound() -> None:
    section = compose.load_config(["preset=smoke", "student=smoke"]).student
    section.vocab_size, section.sizes = 100, {"hidden_size": 8, "num_hidden_layers": 2, "intermediate_size": 16}
    assert machine.least_parameters(section) == 100 * 8 + 2 * (4 * 8 * 8 + 2 * 8 * 16)
    section.sizes = {}
    assert machine.least_parameters(section) == 100 + 4 + 2
