"""Markdown of the reference pages."""

from dataclasses import dataclass

from kdrun.cli.explain import reference_pages
from kdrun.config.fields import setting


@dataclass
class One:
    size: int = setting(1, "number of rows", gt=0)
    name: str = setting("one", "a | in the text")


@dataclass
class Two:
    size: int = setting(1, "number of rows", gt=0)
    other: float = setting(0.5, "only here")


def test_keys_of_several_schemas_share_a_row_if_they_are_equal() -> None:
    table = reference_pages._merged_table("data", {"one": One, "two": Two}).splitlines()
    assert table[0] == "| key | of | type and range | default | meaning |"
    cells = {line.split(" | ")[0].strip("| `"): line.split(" | ")[1] for line in table[2:]}
    assert cells == {"data.size": "all", "data.name": "`one`", "data.other": "`two`"}


def test_pipes_do_not_split_a_cell() -> None:
    assert "a \\| in the text" in reference_pages._merged_table("data", {"": One})


def test_result_page_starts_with_the_result_and_has_a_comment_per_key() -> None:
    page = reference_pages.result_page()
    assert page.index("## RunResult") < page.index("## CheckpointResult")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert rows
    assert not [row for row in rows if row.rstrip(" |").endswith("`") and row.count(" | ") == 1]
