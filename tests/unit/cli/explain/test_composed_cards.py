"""Cards of presets and keys."""

from kdrun.cli.explain import composed_cards
from kdrun.config import compose


def test_leaves_keep_mandatory_and_null_values() -> None:
    leaves = composed_cards.config_leaves(compose.compose(["data=folder"]))
    assert leaves["data.dir"] == "???"
    assert leaves["data.max_train_rows"] is None


def test_the_card_of_an_entry_of_a_mapping_describes_the_mapping() -> None:
    text = str(composed_cards.key_card("task.folder.dir").blocks)
    assert "an entry of task.folder" in text
    assert "conf/task/sst2.yaml" in text


def test_keys_that_several_choices_share_are_described_once() -> None:
    blocks = composed_cards.key_card("method.temperature").blocks
    headings = [block.heading for block in blocks if block.heading.startswith("with ")]
    assert any("method=kd" in heading and "method=kd_augment" in heading for heading in headings)
    assert len(headings) == len(set(headings))


def test_a_preset_shows_only_values_that_differ_from_the_default_preset() -> None:
    (block,) = [b for b in composed_cards.preset_card("smoke").blocks if b.heading.startswith("differs")]
    smoke, default = (composed_cards.config_leaves(compose.compose([f"preset={p}"])) for p in ("smoke", "embedded"))
    keys = [line.partition(" = ")[0] for line, _ in block.entries]
    assert keys
    assert "preset" not in keys
    assert all(smoke[key] != default.get(key) for key in keys)
