"""Subcommands: help, usage, old keys, exit codes."""

from dataclasses import dataclass
from enum import Enum
from types import SimpleNamespace

import pytest

from kdrun.cli import main, subcommands
from kdrun.config.fields import MISSING, setting


@pytest.mark.parametrize("name", list(subcommands.COMMANDS))
def test_every_subcommand_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([name, "--help"]) == 0
    output = capsys.readouterr().out
    assert output.startswith(f"kdrun {name}: ")
    assert len(output.splitlines()) >= 2


def test_the_help_lists_the_subcommands() -> None:
    for name in subcommands.COMMANDS:
        assert f"\n  {name} " in main.help_text()


def test_an_unknown_subcommand_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["comparee", "method=kd"]) == 2
    assert "unknown subcommand 'comparee'; did you mean 'compare'?" in capsys.readouterr().err


def test_problems_of_a_subcommand_exit_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["compare", "sedes=3"]) == 2
    assert "error: " in capsys.readouterr().err


class Speed(Enum):
    slow = "slow"
    fast = "fast"


@dataclass
class Options:
    path: str = setting(MISSING, "where to read")
    speed: Speed = setting(Speed.fast, "how fast")
    limit: int | None = setting(None, "most rows")


def test_usage_lists_defaults_choices_and_required_options() -> None:
    def command(args: list[str]) -> int:
        """Do a thing."""
        return len(args)

    text = subcommands.usage("thing", SimpleNamespace(main=command, OPTIONS=Options))
    first, _, *options = text.splitlines()
    assert first == "kdrun thing: Do a thing."
    assert [line.split()[0] for line in options] == ["path=", "speed=", "limit="]
    assert [line.rpartition(" (")[2] for line in options] == [
        "required)",
        "default fast; one of slow, fast)",
        "default null)",
    ]


def test_old_keys_are_renamed_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    assert subcommands.current_overrides(["optim.accumulate=2", "seed=1"]) == [
        "optim.gradient_accumulation_steps=2",
        "seed=1",
    ]
    assert "optim.accumulate is now optim.gradient_accumulation_steps" in capsys.readouterr().err
    assert subcommands.current_overrides(["seed=1"]) == ["seed=1"]
    assert capsys.readouterr().err == ""
