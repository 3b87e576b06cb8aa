"""Dataclasses and enums as JSON."""

import pytest

from kdrun.config import compose
from kdrun.config.runtime import Device
from kdrun.storage import typed_json


@pytest.mark.parametrize(
    "overrides",
    [
        ["method=mate_kd", "task=sst2"],
        ["method=dfkd_t3", "task=conll2003", "preset=smoke"],
        ["method=meta_kd", "task=amazon", "method.domain=books"],
        ["method=kd", "task=sst2", "teacher=recorded", "teacher.path=[a.jsonl]"],
    ],
)
def test_a_config_comes_back_as_it_was(overrides: list[str]) -> None:
    config = compose.to_config(compose.compose(overrides))
    assert typed_json.decode(typed_json.encode(config)) == config


def test_plain_values_and_enums() -> None:
    values = [None, True, 1, 1.5, "a", Device.cpu, {"key": [Device.auto]}]
    assert typed_json.decode(typed_json.encode(values)) == values


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        typed_json.encode([object()])
    for text in ('{"__type__": "os:system", "value": {}}', '{"__type__": "subprocess:Popen", "value": {"args": "x"}}'):
        with pytest.raises(ValueError, match="neither"):
            typed_json.decode(text)
