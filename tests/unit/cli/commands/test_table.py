"""`kdrun table`: options that exclude each other."""

import pytest

from kdrun.cli.commands import table
from kdrun.errors import ConfigError


@pytest.mark.parametrize(
    ("args", "key"),
    [(["check=true"], "update=FILE"), (["update=README.md", "rows=method", "cols=task"], "cols, rows")],
)
def test_options_that_exclude_each_other_are_an_error(args: list[str], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        table.main(args)
