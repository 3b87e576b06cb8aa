"""Spaces: their grammar, the meaning of ranges, and checks against the settings of the runs."""

from pathlib import Path

import pytest

from kdrun import registry
from kdrun.cli.explain import method_card
from kdrun.errors import ConfigError
from kdrun.experiments.tune import grammar
from kdrun.experiments.tune.grammar import RangeText
from kdrun.experiments.tune.space import Choice, FloatRange, IntRange, interpret
from kdrun.experiments.tune.space_checks import read_space, shipped_spaces
from tests.helpers import forked

RUN = ["method=mate_kd", "task=sst2", "preset=smoke"]


class Recorder:
    """A trial that draws the highest value and records what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.asked.append((name, low, high, log))
        return high - (high - low) * 1e-9

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        self.asked.append((name, low, high, log))
        return high

    def suggest_categorical(self, name: str, choices: tuple[str, ...]) -> str:
        self.asked.append((name, choices))
        return choices[-1]


def test_an_inline_space_is_read_in_order() -> None:
    text = "{method.mask_rate: [0.1, 0.5], optim.lr: log[1e-5,1e-3], loss: [kl, soft_ce], a: choice['x, y', null]}"
    assert grammar.parse_mapping(text) == [
        ("method.mask_rate", RangeText("", ("0.1", "0.5"))),
        ("optim.lr", RangeText("log", ("1e-5", "1e-3"))),
        ("loss", RangeText("", ("kl", "soft_ce"))),
        ("a", RangeText("choice", ("'x, y'", "null"))),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{optim.lr: [1, 2]", "the end"),
        ("{optim.lr [1, 2]}", r"':'.*'\['"),
        ("{optim.lr: 3}", "single value '3'"),
        ("{optim.lr: exp[1, 2]}", "'exp'"),
        ("{optim.lr: [1, 2]} x", "'x'"),
        ("{optim.lr: [1 2]}", "'2'"),
        ("{optim.lr: ['a]}", "quote"),
    ],
)
def test_a_text_of_another_form_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        grammar.parse_mapping(text)


def test_yaml_values_mean_the_same_as_inline_ones() -> None:
    assert grammar.from_yaml("log[1e-5, 1e-3]") == RangeText("log", ("1e-5", "1e-3"))
    assert grammar.from_yaml([1, 0.5, None, True, "a b"]) == RangeText("", ("1", "0.5", "null", "true", "'a b'"))
    with pytest.raises(ValueError, match="3"):
        grammar.from_yaml(3)


@pytest.mark.parametrize(
    ("text", "setting_type", "expected"),
    [
        ("[1, 4]", float, FloatRange(1.0, 4.0)),
        ("[1, 4]", int, IntRange(1, 4)),
        ("[1, 4]", None, IntRange(1, 4)),
        ("[0.5, 4]", None, FloatRange(0.5, 4.0)),
        ("int[1, 4]", float, IntRange(1, 4)),
        ("log[1, 64]", int, IntRange(1, 64, log=True)),
        ("log[1e-5, 1]", float, FloatRange(1e-5, 1.0, log=True)),
        ("[1, 2, 4]", int, Choice(("1", "2", "4"))),
        ("[linear, cosine]", None, Choice(("linear", "cosine"))),
        ("[null, 3]", int, Choice(("null", "3"))),
        ("choice[16, 32]", int, Choice(("16", "32"))),
    ],
)
def test_the_type_of_a_setting_decides_the_range(text: str, setting_type: type | None, expected: object) -> None:
    assert interpret(grammar.parse_range(text), setting_type) == expected


@pytest.mark.parametrize(
    ("text", "setting_type", "problem"),
    [
        ("[1]", float, "single value"),
        ("[4, 1]", float, "4 and 1"),
        ("log[0, 1]", float, "above 0"),
        ("log[1, 2, 3]", float, "two numbers"),
        ("log[a, b]", float, "two numbers"),
        ("[0.5, 4]", int, "0.5"),
        ("int[0.5, 4]", float, "0.5"),
        ("choice[a, a]", None, "twice"),
        ("[1, 1e999]", float, "1e999"),
    ],
)
def test_a_range_without_meaning_is_refused(text: str, setting_type: type, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        interpret(grammar.parse_range(text), setting_type)


def test_values_are_rounded_inside_the_range() -> None:
    trial = Recorder()
    space = read_space(
        "{optim.lr: log[1e-5, 0.00333333], optim.batch_size: [4, 16], optim.schedule: [linear, cosine]}", RUN
    )
    assert space.suggest(trial) == ["optim.lr=0.003333", "optim.batch_size=16", "optim.schedule=cosine"]
    assert trial.asked[0] == ("optim.lr", 1e-5, 0.00333333, True)
    assert FloatRange(0.33333, 0.5).suggest(LowTrial(), "key") == "0.33333"


class LowTrial(Recorder):
    """A trial that draws the lowest value."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return low


def test_all_problems_of_a_space_are_reported_at_once() -> None:
    text = (
        "{optim.lrr: [1, 2], seed: [1, 2], data.dir: [a, b], optim.batch_size: [0, 3], method.mask_rate: [0.1, 2.0], "
        "optim.lr: log[0, 1], optim.steps: [2, 4], evaluation.extra: [a, b], output_dir: [a, b], method.domain: [a, b]}"
    )
    with pytest.raises(ConfigError) as error:
        read_space(text, [*RUN, "optim.steps=3"])
    keys = {problem.key for problem in error.value.problems}
    assert keys == {
        "optim.lrr", "seed", "data.dir", "optim.batch_size", "method.mask_rate", "optim.lr", "optim.steps",
        "evaluation.extra", "output_dir", "method.domain",
    }  # fmt: skip


def test_an_end_must_be_valid_and_the_length_of_texts_may_be_searched() -> None:
    assert set(read_space("{data.max_length: [16, 64]}", RUN).ranges) == {"data.max_length"}
    with pytest.raises(ConfigError, match=r"optim\.schedule=cosin\b"):
        read_space("{optim.schedule: [linear, cosin]}", RUN)


@pytest.mark.parametrize("name", registry.entries("method"))
def test_every_method_has_a_valid_space(name: str) -> None:
    assert name in shipped_spaces()
    example = method_card.example(registry.get("method", name).target.requires)
    assert read_space(None, [f"method={name}", *example.split()]).texts["optim.lr"] == "log[2.0e-5, 2.0e-3]"


def test_a_space_of_a_file_and_unknown_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("optim.lr: log[1e-4, 1e-2]\noptim.batch_size: [4, 8, 16]\n")
    assert read_space(str(path), RUN).ranges == {
        "optim.lr": FloatRange(1e-4, 1e-2, log=True), "optim.batch_size": Choice(("4", "8", "16")),
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"space=mate_kdd.*mate_kd"):
        read_space("mate_kdd", RUN)
    with pytest.raises(ConfigError, match=r"missing\.yaml"):
        read_space(str(tmp_path / "missing.yaml"), RUN)
    path.write_text("- a\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml holds no keys"):
        read_space(str(path), RUN)


def test_a_space_is_checked_without_torch_and_optuna() -> None:
    code = (
        "import sys; from kdrun.experiments.tune.plan import plan_search\n"
        "plan_search(['method=kd', 'task=sst2'], None, trials=2)\n"
        "assert not {'torch', 'optuna'} & set(sys.modules)"
    )
    done = forked.without_torch().run(code)
    assert done.returncode == 0, done.stderr
