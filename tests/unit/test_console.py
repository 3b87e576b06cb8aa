"""Console output with and without a terminal; markup in data."""

import errno
import io
import logging
import os
import sys

import pytest
from rich.console import Console as RichConsole
from rich.progress import Progress

from kdrun.console import Console, QuietConsole, WarningConsole, log_to
from kdrun.formatting import CONTROL, escape_control
from kdrun.runs.summary import score_rows
from kdrun.training.progress import ProgressCallback


def console(terminal: bool = False) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(RichConsole(file=text, width=100, force_terminal=terminal, highlight=False)), text


def test_markup_in_data_is_escaped() -> None:
    output, text = console()
    output.key_values("one example", [("text", "[red]not a color[/red] [/]")])
    output.table("t", ["a", "b"], [["[bold]x[/bold]", "1"]])
    assert "[red]not a color[/red] [/]" in text.getvalue()
    assert "[bold]x[/bold]" in text.getvalue()


def test_an_evaluation_is_a_line_with_the_last_losses() -> None:
    record = {"step": 5, "phase": "train", "role": "student", "lr": 0.1, "loss": 0.5, "examples_per_s": 10.0}
    for terminal in (False, True):
        output, text = console(terminal)
        callback = ProgressCallback(output, "student", "accuracy", "dev")
        callback.on_log(record, 10)
        callback.on_evaluate({"phase": "train", "step": 5, "eval": {"dev": {"accuracy": 0.75}}}, True)
        assert "dev accuracy 75.0 %  loss 0.5000  10 examples/s  best so far" in text.getvalue()


def test_retention_is_not_invented() -> None:
    baseline = {"dev": {"accuracy": 0.5, "f1": None}}
    rows = score_rows({"dev": {"accuracy": 0.8, "f1": 0.0}}, {"dev": {"accuracy": 0.4, "f1": 0.2}}, baseline)
    assert rows == [
        ["dev accuracy", "50.0 %", "80.0 %", "40.0 %", "50.0 %"],
        ["dev f1", "n/a", "0.0 %", "20.0 %", "n/a"],
    ]
    assert score_rows(None, {"dev": {"accuracy": 0.4}}, baseline)[0][2:] == ["n/a", "40.0 %", "n/a"]


def test_log_messages_are_printed_on_the_innermost_console() -> None:
    (outer, outer_text), (inner, inner_text) = console(), console()
    log = logging.getLogger("kdrun.test")
    with log_to(outer):
        log.info("one %d", 1)
        with log_to(inner):
            log.warning("two [red]")
        log.debug("three")
    log.info("four")
    assert outer_text.getvalue() == "one 1\n"
    assert inner_text.getvalue() == "warning  two [red]\n"


def test_a_quiet_console_prints_each_logged_warning_once() -> None:
    text = io.StringIO()
    quiet, log = QuietConsole(RichConsole(file=text, width=100)), logging.getLogger("kdrun.test")
    for _ in range(2):
        with log_to(quiet):
            log.info("progress")
            log.warning("attention")
    assert text.getvalue() == "warning  attention\n"


def test_the_console_of_q_prints_warnings_and_errors_only() -> None:
    text = io.StringIO()
    console = WarningConsole(RichConsole(file=text, width=100, force_terminal=False))
    for _ in range(2):
        console.note("a note")
        console.print("a line")
        console.progress("a step")
        console.key_values("title", [("a", "b")])
        console.table("title", ["a"], [["b"]])
        console.warning("attention")
    console.error("stop")
    assert text.getvalue() == "warning  attention\nerror  stop\n"


@pytest.mark.parametrize(
    "text", ["\x1b]52;c;ZXZpbA==\x07", "a\x9b2Jb", "file\u202egpj.exe", "\ud800", "a\rb", "a\u2028b"]
)
def test_control_characters_are_shown_and_not_obeyed(text: str) -> None:
    output, written = console()
    output.print(text)
    output.key_values(text, [(text, text)])
    output.table(text, [text], [[text]])
    output.warning(text)
    lines = written.getvalue()
    assert not CONTROL.search(lines)
    assert escape_control(text) in lines


class BrokenOutput(io.StringIO):
    """A standard output that fails with an error number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, "broken")


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO, errno.EBADF])
def test_output_without_a_reader_is_dropped(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", BrokenOutput(number))
    output = Console()
    output.print("one")
    output.print("two")
    assert sys.stdout.name == os.devnull
    sys.stdout.close()


def test_other_errors_of_the_output_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", BrokenOutput(errno.ENOSPC))
    with pytest.raises(OSError, match="broken"):
        Console().print("one")


def test_a_progress_bar_writes_to_the_output_that_may_go(capsys: pytest.CaptureFixture[str]) -> None:
    output = Console()
    with Progress(console=output.rich):
        sys.stdout.write("inside\n")
    assert "inside" in capsys.readouterr().out
