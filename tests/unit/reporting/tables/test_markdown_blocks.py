"""Tables inside Markdown files."""

from pathlib import Path

import pytest

from kdrun.errors import ConfigError
from kdrun.reporting.tables.markdown_blocks import Block, regenerate_blocks

TEXT = """\
# Title
<!-- kdrun table rows=method ledger='a b.jsonl' -->
old
<!-- /kdrun table -->
between
```
<!-- kdrun table shown=as_an_example -->
<!-- /kdrun table -->
```
<!-- kdrun table -->
[]
<!-- /kdrun table -->
end"""


def test_blocks_are_regenerated_and_the_rest_is_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(TEXT)
    new, blocks = regenerate_blocks(path, str)
    assert new == TEXT.replace("old", "['rows=method', 'ledger=a b.jsonl']")
    assert blocks == [Block(2, ("rows=method", "ledger=a b.jsonl"), True), Block(10, (), False)]
    assert path.read_text() == TEXT


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a\n<!-- kdrun table -->\nx\n", r"README.md:2: .*not closed"),
        ("<!-- /kdrun table -->\n", r"README.md:1: .* where no block is open"),
        (
            "<!-- kdrun table -->\n<!-- kdrun table a -->\n<!-- /kdrun table -->\n",
            r"README.md:2: .* where a block is open",
        ),
        ("\n<!-- kdrun table ledger='a -->\n<!-- /kdrun table -->\n", r"README.md:2: .*ledger='a.*close the quote"),
    ],
)
def test_a_block_without_its_other_half_is_an_error(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "README.md").write_text(text)
    with pytest.raises(ConfigError, match=problem):
        regenerate_blocks(tmp_path / "README.md", str)


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\x0b", "\x0c", "\x1d", "\r"])
def test_only_a_line_feed_ends_a_line(separator: str, tmp_path: Path) -> None:
    text = f"a{separator}<!-- kdrun table -->\n<!-- kdrun table rows=a -->\nold{separator}row\n<!-- /kdrun table -->\n"
    (tmp_path / "a.md").write_bytes(text.encode())
    new, blocks = regenerate_blocks(tmp_path / "a.md", str)
    assert new == text.replace(f"old{separator}row", "['rows=a']")
    assert [block.line for block in blocks] == [2]


def test_a_file_with_carriage_returns_keeps_them(tmp_path: Path) -> None:
    text = "a\r\n<!-- kdrun table -->\r\nold\r\n<!-- /kdrun table -->\r\nb\r\n"
    (tmp_path / "a.md").write_bytes(text.encode())
    new, blocks = regenerate_blocks(tmp_path / "a.md", lambda _: "x\ny")
    assert new == text.replace("old", "x\r\ny")
    assert [block.differs for block in blocks] == [True]
    (tmp_path / "a.md").write_bytes(new.encode())
    assert not regenerate_blocks(tmp_path / "a.md", lambda _: "x\ny")[1][0].differs
