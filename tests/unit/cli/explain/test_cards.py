"""Parts of cards that are derived from notes and configs."""

from kdrun.cli.explain import cards, task_card
from kdrun.cli.explain.notes import Value, YamlNotes
from kdrun.config.task import TaskConfig


def test_a_key_without_a_tag_has_that_of_its_section() -> None:
    notes = YamlNotes(
        values=[Value("optim.lr", "1", "[paper]"), Value("optim.steps", "2")], sections={"optim": "[ours]"}
    )
    assert cards.tag_of("optim.lr", notes) == "[paper]"
    assert cards.tag_of("optim.steps", notes) == "[ours]"
    assert cards.tag_of("optim.schedule.name", notes) == "[ours]"
    assert cards.tag_of("seed", notes) == ""


def test_a_command_names_the_keys_that_become_required() -> None:
    (line,) = cards.run_block("data=folder").text
    assert line.startswith("  kdrun data=folder ")
    assert "data.dir=…" in line


def test_official_rows_name_the_reported_split_only_if_another_chooses() -> None:
    one = TaskConfig(name="t", labels=["a", "b"], rows={"train": 9, "dev": 3})
    assert task_card._rows(one) == "train 9, dev 3"
    two = TaskConfig(name="t", labels=["a", "b"], rows={"train": 9, "dev": 3, "test": 4}, reported="test")
    assert task_card._rows(two).endswith("dev chooses, test is reported")
