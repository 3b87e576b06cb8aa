"""Layer pairs from depths alone, and depths from a config."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from kdrun.config import compose
from kdrun.config.architectures import Architecture
from kdrun.config.model import LayersOfConfig, PretrainedConfig, ScratchConfig
from kdrun.config.validation.layers import layer_problems, num_layers
from kdrun.errors import ConfigError, ModelError
from kdrun.methods.shared.layer_mapping import LayerMapping, describe, uniform_layer_mapping


@pytest.mark.parametrize(
    ("student", "teacher", "hidden", "attention"),
    [
        (4, 12, [(0, 0), (1, 3), (2, 6), (3, 9), (4, 12)], [(0, 2), (1, 5), (2, 8), (3, 11)]),
        (2, 6, [(0, 0), (1, 3), (2, 6)], [(0, 2), (1, 5)]),
        (2, 2, [(0, 0), (1, 1), (2, 2)], [(0, 0), (1, 1)]),
        (1, 3, [(0, 0), (1, 3)], [(0, 2)]),
    ],
)
def test_every_rth_layer(student: int, teacher: int, hidden: list, attention: list) -> None:
    assert uniform_layer_mapping(student, teacher) == LayerMapping(tuple(hidden), tuple(attention))


@pytest.mark.parametrize(("student", "teacher"), [(4, 6), (3, 2), (12, 6), (0, 6)])
def test_depths_that_do_not_divide_are_refused_with_the_numbers(student: int, teacher: int) -> None:
    with pytest.raises(ModelError, match=f"the student has {student} layers and the teacher {teacher}") as error:
        uniform_layer_mapping(student, teacher)
    fitting = "1, 2" if teacher == 2 else "1, 2, 3, 6"
    assert f"take a student of {fitting} layers" in str(error.value)


def test_depths_that_a_section_names(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"n_layers": 6}))
    scratch = ScratchConfig(name="scratch", sizes={"num_hidden_layers": 4})
    assert num_layers(scratch) == 4
    assert num_layers(ScratchConfig(name="scratch", architecture=Architecture.distilbert, sizes={"n_layers": 3})) == 3
    assert num_layers(ScratchConfig(name="scratch", sizes={})) is None
    assert num_layers(LayersOfConfig(name="layers_of", layers=[0, 5], path=str(tmp_path))) == 2
    assert num_layers(PretrainedConfig(name="pretrained", hub="some/model")) is None
    scratch.path = str(tmp_path)
    assert num_layers(scratch) == 6
    scratch.path = str(tmp_path / "nowhere")
    assert num_layers(scratch) is None
    (tmp_path / "config.json").write_text("{")
    assert num_layers(PretrainedConfig(name="pretrained", hub="", path=str(tmp_path))) is None


def test_unknown_depths_are_no_problem_yet() -> None:
    with_depth, without_depth = (
        ScratchConfig(name="scratch", sizes={"num_hidden_layers": 4}),
        ScratchConfig(name="scratch"),
    )
    six = ScratchConfig(name="scratch", sizes={"num_hidden_layers": 6})
    assert (
        list(layer_problems(with_depth, without_depth))
        == list(layer_problems(without_depth, with_depth))
        == list(layer_problems(with_depth, with_depth))
        == []
    )
    (problem,) = layer_problems(with_depth, six)
    assert "the student has 4 layers and the teacher 6" in problem


def test_a_config_error_if_the_method_pairs_layers() -> None:
    words = ["teacher.sizes.num_hidden_layers=3", "student.sizes.num_hidden_layers=2"]
    with pytest.raises(ConfigError, match="the student has 2 layers and the teacher 3"):
        compose.load_config(["method=tinybert_kd", *words])
    compose.load_config(["method=kd", *words])


def test_facts_for_the_screen() -> None:
    student = SimpleNamespace(num_hidden_layers=2, num_attention_heads=2, hidden_size=128)
    teacher = SimpleNamespace(num_hidden_layers=6, num_attention_heads=12, hidden_size=384)
    assert describe(student, teacher) == [
        ("hidden states", "0–0, 1–3, 2–6 (0: embeddings), through one learned projection 128 → 384"),
        ("attention maps", "0–2, 1–5 (0: first layer); averaged over heads first (student 2, teacher 12)"),
    ]
    student.num_attention_heads = 12
    assert "heads" not in describe(student, teacher)[1][1]
