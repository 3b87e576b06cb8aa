"""Arguments of subcommands: types, checks, all problems in one report."""

import pytest

from kdrun.cli import main, subcommands


@pytest.mark.parametrize("verb", list(subcommands.COMMANDS))
def test_every_subcommand_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([verb, "--help"]) == 0
    output = capsys.readouterr().out
    assert output.startswith(f"kdrun {verb}: ")
    assert len(output.splitlines()) >= 2


def test_the_help_lists_the_subcommands() -> None:
    for verb in subcommands.COMMANDS:
        assert f"\n  {verb} " in main.help_text()


def test_an_unknown_subcommand_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["comparee", "method=kd"]) == 2
    assert "unknown subcommand 'comparee'; did you mean 'compare'?" in capsys.readouterr().err


def test_problems_of_a_subcommand_exit_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["compare", "sedes=3"]) == 2
    assert "error: " in capsys.readouterr().err
