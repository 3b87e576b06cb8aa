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
    assert blocks == [Block(2, "rows=method ledger='a b.jsonl'", True), Block(10, "", False)]
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
    ],
)
def test_a_block_without_its_other_half_is_an_error(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "README.md").write_text(text)
    with pytest.raises(ConfigError, match=problem):
        regenerate_blocks(tmp_path / "README.md", str)
