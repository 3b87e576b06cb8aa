"""Console output with and without a terminal; markup in data."""

import io
import logging

from rich.console import Console as RichConsole

from kdrun.console import Console, QuietConsole, log_to
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


def test_lines_without_a_terminal_and_a_bar_on_one() -> None:
    record = {"step": 5, "phase": "train", "role": "student", "lr": 0.1, "loss": 0.5, "examples_per_s": 10.0}
    for terminal in (False, True):
        output, text = console(terminal)
        progress = ProgressCallback(output, "student", "accuracy", "dev")
        progress.on_log(record, 10)
        progress.on_evaluate({"phase": "train", "step": 5, "eval": {"dev": {"accuracy": 0.75}}}, True)
        progress.close()
        assert "dev accuracy 0.7500  loss 0.5000  10 examples/s  best so far" in text.getvalue()
        assert ("5/10" in text.getvalue()) == terminal


def test_retention_is_not_invented() -> None:
    baseline = {"dev": {"accuracy": 0.5, "f1": None}}
    rows = score_rows({"dev": {"accuracy": 0.8, "f1": 0.0}}, {"dev": {"accuracy": 0.4, "f1": 0.2}}, baseline)
    assert rows == [
        ["dev accuracy", "0.5000", "0.8000", "0.4000", "50.0 %"],
        ["dev f1", "n/a", "0.0000", "0.2000", "n/a"],
    ]
    assert score_rows(None, {"dev": {"accuracy": 0.4}}, baseline)[0][2:] == ["n/a", "0.4000", "n/a"]


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
