"""Mappings of class names that cannot have an effect."""

from pathlib import Path

import pytest

from kdrun.config import compose
from kdrun.errors import ConfigError

CHECKPOINT = ["task=sst2", "teacher=pretrained", "teacher.hub=some/model"]


def test_a_mapping_of_a_checkpoint_is_accepted() -> None:
    config = compose.load_config([*CHECKPOINT, "teacher.labels={bad: negative, good: positive}"])
    assert config.teacher.labels == {"bad": "negative", "good": "positive"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([*CHECKPOINT, "teacher.labels={bad: negativ}"], r"teacher\.labels.*sst2.*'negativ'.*'negative'"),
        ([*CHECKPOINT, "teacher.labels=[negative]"], r"teacher\.labels must be a mapping.*\['negative'\]"),
        (["task=stsb", *CHECKPOINT[1:], "teacher.labels={x: y}"], r"teacher\.labels.*stsb has none"),
        (
            ["task=sst2", "student=tiny", "student.labels={bad: negative}"],
            r"student\.labels.*scratch .*new head",
        ),
        (["task=sst2", "generator=tiny", "generator.labels={bad: negative}"], r"generator\.labels.*generator has none"),
        (["task=sst2", "teacher=t5_tiny", "teacher.labels={bad: negative}"], r"teacher\.labels.*new head"),
    ],
)
def test_a_mapping_without_effect_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose.load_config(overrides)


def test_a_saved_t5_has_no_class_names(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    overrides = ["task=sst2", f"student.path={tmp_path}", "student.labels={bad: negative}"]
    with pytest.raises(ConfigError, match=r"student\.labels.*text-to-text"):
        compose.load_config(overrides)
