"""Arguments of subcommands: types, checks, all problems in one report."""

import pytest

from kdrun.cli import main, subcommands


@pytest.mark.parametrize("verb", list(subcommands.COMMANDS))
def test_every_verb_says_what_it_takes(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"kdrun {verb}: ")
    assert len(shown.splitlines()) >= 2


def test_the_help_lists_the_verbs() -> None:
    for verb in subcommands.COMMANDS:
        assert f"\n  {verb} " in main.help_text()


def test_an_unknown_verb_names_the_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["comparee", "method=kd"]) == 2
    assert "unknown subcommand 'comparee'; did you mean 'compare'?" in capsys.readouterr().err


def test_problems_of_a_verb_end_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["compare", "sedes=3"]) == 2
    assert "error: " in capsys.readouterr().err
