"""YAML files of strangers: a saved config, the config of a run folder, the README of a data folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kdrun.config.saved_config import expand_config
from kdrun.data.local_folder import _metadata
from kdrun.errors import KdrunError
from kdrun.reporting.html.run_reader import parse_config
from tests.helpers.yaml_bombs import ALIASES, MERGES

READERS: dict[str, Callable[[Path], object]] = {
    "config=FILE": lambda path: expand_config([f"config={path}"]),
    "report of a run folder": lambda path: parse_config(path.read_text(), path),
    "README of a data folder": _metadata,
}


@pytest.mark.parametrize("text", [ALIASES, MERGES, "a: " + "[" * 90_000], ids=["aliases", "merges", "depth"])
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_yaml_that_grows_without_limit_is_refused_with_its_file(
    reader: Callable[[Path], object], text: str, tmp_path: Path
) -> None:
    path = tmp_path / "foreign.yaml"
    path.write_text(text)
    with pytest.raises(KdrunError, match=r"foreign\.yaml.*(100000 values|deeper than 50)"):
        reader(path)
