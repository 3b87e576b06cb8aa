"""Model sections: dependence on the teacher's base model."""

import pytest

from kdrun.config.model import LayersOfConfig, ModelConfig, PretrainedConfig, ScratchConfig, TokenizerSource


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (PretrainedConfig(name="pretrained", hub="x"), False),
        (ScratchConfig(name="scratch"), False),
        (ScratchConfig(name="scratch", tokenizer=TokenizerSource.teacher), True),
        (ScratchConfig(name="scratch", tokenizer=TokenizerSource.teacher, path="folder"), False),
        (LayersOfConfig(name="layers_of"), True),
        (LayersOfConfig(name="layers_of", path="folder"), False),
    ],
)
def test_sections_that_need_the_base_model_of_the_teacher(section: ModelConfig, expected: bool) -> None:
    assert section.starts_from_teacher is expected
