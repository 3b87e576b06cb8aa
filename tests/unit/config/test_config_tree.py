"""Configs composed without Hydra's own settings equal those that Hydra composes."""

from collections.abc import Sequence

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from kdrun.config import compose, config_tree
from kdrun.config.config_tree import compose_tree
from kdrun.config.paths import CONF_DIR


def composed_by_hydra(overrides: Sequence[str]) -> DictConfig:
    compose.register_schemas()
    with initialize_config_dir(config_dir=str(CONF_DIR), version_base=config_tree.HYDRA_VERSION):
        return hydra_compose("config", overrides=list(overrides))


def assert_equal(config: DictConfig, expected: DictConfig) -> None:
    assert OmegaConf.to_yaml(config) == OmegaConf.to_yaml(expected)
    assert OmegaConf.to_object(config) == OmegaConf.to_object(expected)
    assert OmegaConf.is_struct(config)


@pytest.mark.parametrize(
    "overrides",
    [
        ["preset=mini", "data.dir=x", "corpus=folder", "corpus.dir=y", "student=layers_of", "method=minilm"],
        ["experiment=embedded_text_to_text", "runtime=bf16", "generator=t5_smoke"],
    ],
)
def test_choices_are_composed_as_by_hydra(overrides: list[str]) -> None:
    compose.register_schemas()
    assert_equal(compose_tree(overrides, ""), composed_by_hydra(overrides))


def test_a_composition_changes_no_later_one() -> None:
    compose.register_schemas()
    first = compose_tree(["preset=smoke"], "")
    expected = OmegaConf.to_yaml(first)
    first.task.labels, first.optim.lr, first.teacher.sizes.hidden_size = ["x"], 5.0, 1
    assert OmegaConf.to_yaml(compose_tree(["preset=smoke"], "")) == expected


@pytest.mark.parametrize(
    "settings",
    [
        [
            "optim.lr=0.5",
            "optim.lr=0.25",
            "teacher.sizes={hidden_size:8}",
            "teacher.sizes.hidden_size=16",
            "task.labels=[a,b]",
            "task.title='x=y'",
        ],
        ["+teacher.sizes.hidden_act=relu", "teacher.sizes.hidden_size=8"],
        ["optim.lr=2", "optim={lr:1}", "method.generator_optim={lr:0.5}", "method.generator_optim.name=sgd"],
    ],
)
def test_settings_are_applied_as_hydra_applies_them(settings: list[str]) -> None:
    overrides = ["method=mate_kd", *settings[:1], "task=rte", *settings[1:]]
    assert_equal(compose.compose(overrides), composed_by_hydra(overrides))


@pytest.mark.parametrize("setting", ["optim.lrr=1", "seed=1,2", "task=none"])
def test_errors_of_settings_are_those_of_hydra(setting: str) -> None:
    errors = []
    for function in (compose.compose, composed_by_hydra):
        with pytest.raises(HydraException) as error:
            function(["method=mate_kd", setting])
        text = str(error.value).partition("\nConfig search path:")[0]  # of Hydra, with its own settings
        errors.append((type(error.value), text))
    assert errors[0] == errors[1]
