"""Explanations of config keys."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest

from kdrun.cli.explain import keys
from kdrun.cli.explain.keys import Key
from kdrun.config import compose
from kdrun.config.fields import MISSING, setting


class Choice(Enum):
    ce = "ce"
    kl = "kl"


@dataclass
class Inner:
    lr: float = setting(1e-3, "peak learning rate", gt=0, lt=1)


@dataclass
class Section:
    name: str = setting("made", "registered")
    must: int = setting(MISSING, "no default", ge=1)
    flag: bool = setting(False, "yes or no")
    chosen: Choice = setting(Choice.kl, "which")
    steps: int | None = setting(None, "how many", gt=0)
    ends: list[float] = setting([0.0, 0.5], "both", ge=0)
    sizes: dict[str, Any] = setting({"a": 1}, "free")
    optim: Inner = setting(Inner(), "inner section")
    plain: int = field(default=3)


def test_descriptions_of_fields() -> None:
    assert list(keys.fields(Section, "method.")) == [
        Key("method.name", "registered", "text", "made"),
        Key("method.must", "no default", "whole number >= 1", "required"),
        Key("method.flag", "yes or no", "true or false", "false"),
        Key("method.chosen", "which", "one of ce, kl", "kl"),
        Key("method.steps", "how many", "whole number > 0, or null", "null"),
        Key("method.ends", "both", "list of number >= 0", "[0, 0.5]"),
        Key("method.sizes", "free", "mapping", "{a: 1}"),
        Key("method.optim", "inner section", "section", "", Inner),
        Key("method.optim.lr", "peak learning rate", "number > 0 and < 1", "0.001"),
        Key("method.plain", "", "whole number", "3"),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), (True, "true"), (2.0, "2"), (5e-8, "5e-08"), ("x", "x"), (Choice.ce, "ce"), (MISSING, "required")],
)
def test_values_as_a_command_line_takes_them(value: Any, text: str) -> None:
    assert keys.yaml_text(value) == text


def test_a_key_is_found_wherever_it_belongs() -> None:
    assert keys.find("method.temperature")["method=kd"].allowed == "number > 0"
    assert list(keys.find("optim.lr")) == [""]
    assert list(keys.find("seed")) == [""]
    assert {"teacher=pretrained", "teacher=scratch"} == set(keys.find("teacher.finetune_optim.lr"))
    assert list(keys.find("data.dir")) == ["data=folder", "data=generated"]
    assert keys.find("teacher.sizes.hidden_act")["teacher=scratch"].path == "teacher.sizes"
    assert keys.find("optim.lrr") == keys.find("nothing") == keys.find("x.y") == {}


def test_every_key_of_a_composed_run_is_known() -> None:
    composed = compose.compose([])
    for section in ("method", "optim", "data", "teacher", "runtime"):
        for name in composed[section]:
            assert f"{section}.{name}" in keys.all_paths()
            assert keys.find(f"{section}.{name}")
