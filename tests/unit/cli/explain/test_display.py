"""Printed cards: indents and wrapping."""

import io

from rich.console import Console

from kdrun.cli.explain.cards import Block, Card
from kdrun.cli.explain.display import print_card


def printed(*blocks: Block, width: int = 40) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False, soft_wrap=True)
    print_card(Card("kd", list(blocks)), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()[2:]  # below the underlined title


def test_short_names_share_a_line_with_their_text() -> None:
    block = Block("", entries=[("kd", ["plain distillation", "source: ours"]), ("finetune", ["no teacher"])])
    assert printed(block) == ["  kd        plain distillation", "            source: ours", "  finetune  no teacher"]


def test_one_long_name_moves_all_texts_to_lines_below() -> None:
    block = Block("", entries=[("a", ["first"]), ("method.a_long_key = 1", ["second"])])
    assert printed(block) == ["  a", "      first", "  method.a_long_key = 1", "      second"]


def test_commands_keep_their_indent_and_hyphens_when_wrapped() -> None:
    text = "    kdrun method=kd task=sst2 teacher=layers-of-a-long-name"
    assert printed(Block("", [text])) == ["      kdrun method=kd task=sst2", "      teacher=layers-of-a-long-name"]


def test_empty_blocks_are_left_out_and_headings_have_a_line_before() -> None:
    assert printed(Block("empty"), Block("", ["one"]), Block("two", ["text"])) == ["  one", "", "two", "  text"]


def test_lines_of_a_wide_terminal_are_limited() -> None:
    assert max(map(len, printed(Block("", ["word " * 80]), width=200))) <= 100
