"""Completion of command lines in a shell."""

from pathlib import Path

import pytest

from kdrun.cli import main
from kdrun.cli.completion import candidates
from kdrun.config.paths import CONF_DIR


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("kdrun comp", ["compare"]),
        ("kdrun pres", ["preset="]),
        ("kdrun method=kd_", ["method=kd_augment", "method=kd_freelb", "method=kd_ood"]),
        ("kdrun method=kd method.t", ["method.temperature=", "method.temperature_end="]),
        ("kdrun runtime.device=", ["runtime.device=auto", "runtime.device=cpu", "runtime.device=cuda"]),
        ("kdrun dry_run=t", ["dry_run=true"]),
        ("kdrun -q task=mr", ["task=mrpc"]),
        ("kdrun hydra", []),
        ("kdrun method=no_such met", ["method="]),
        ("kdrun help ex", ["explain", "export"]),
        ("kdrun export RUN q", ["quantize="]),
        ("kdrun export RUN quantize=i", ["quantize=int8"]),
        ("kdrun export RUN meth", []),  # takes no overrides
        ("kdrun compare method=kd see", ["seed=", "seeds="]),
    ],
)
def test_candidates(line: str, expected: list[str]) -> None:
    assert candidates(line) == expected


def test_the_first_word_is_a_subcommand_or_an_override() -> None:
    found = candidates("kdrun ")
    assert {"predict", "resume", "method=", "optim."} <= set(found)
    assert not [text for text in found if text.startswith(("hydra", "schema"))]


def test_choices_of_the_users_config_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDRUN_CONF", "")
    sst2 = (CONF_DIR / "task" / "sst2.yaml").read_text()
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "mine.yaml").write_text(sst2.replace("name: sst2", "name: mine"))
    assert candidates(f"kdrun --config-dir {tmp_path} task=mi") == ["task=mine"]
    assert candidates("kdrun --config-dir ") == []


def test_query_reads_the_command_line_of_the_shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMP_LINE", "kdrun task=ss")
    for shell in ("bash", "zsh", "fish"):
        assert main.run(["-sc", f"query={shell}"]) == 0
        assert capsys.readouterr().out == "task=sst2\n"


@pytest.mark.parametrize(
    ("shell", "command"), [("bash", "complete -o nospace -o default"), ("fish", "complete -c kdrun")]
)
def test_the_script_completes_kdrun(shell: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["-sc", f"install={shell}"]) == 0
    script = capsys.readouterr().out
    assert command in script
    assert "kdrun" in script
    assert main.run(["-sc", f"uninstall={shell}"]) == 0


def test_the_line_for_the_start_up_file(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert main.run(["--install-completion"]) == 0
    out, notes = capsys.readouterr()
    assert out == "kdrun -sc install=fish | source\n"
    assert "~/.config/fish/config.fish" in notes
    assert main.run(["--install-completion", "zsh"]) == 0
    assert "bashcompinit" in capsys.readouterr().out


@pytest.mark.parametrize("args", [["--install-completion", "tcsh"], ["-sc"], ["-sc", "foo=bash"], ["-sc", "query=ksh"]])
def test_unknown_shells_and_actions(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(args) == 2
    assert args[-1].rpartition("=")[2] in capsys.readouterr().err
