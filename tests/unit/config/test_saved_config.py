"""`config=FILE` composes a saved config again, with overrides, and runs nothing that a stranger wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from kdrun.config import compose
from kdrun.config.identity import identity
from kdrun.config.saved_config import expand_config
from kdrun.errors import ConfigError
from kdrun.storage.serialization import to_plain

RUNS = [
    ["method=kd", "task=sst2"],
    ["method=kd", "task=rte", "preset=mini", "data.dir='/x y/it\\'s'"],
    ["method=mate_kd", "task=sst2", "preset=paper", "optim.lr=3e-5", "seed=7"],
    ["method=zskd", "task=sst2", "preset=smoke", "method.generator_optim.lr=1e-4"],
    ["method=kd", "task=sst2", "student=scratch", "student.sizes={hidden_size:24,num_hidden_layers:1}"],
    ["method=kd", "task=sst2", "teacher.path=/model", "teacher.labels={neg:negative,pos:positive}"],
    ["method=kd", "task=sst2", "student=tiny", "student.sizes.hidden_size=32"],
    ["method=finetune", "task=sst2", "preset=smoke", "student=t5_smoke"],  # its sizes have other names
    ["method=kd", "task=sst2", "student=scratch", "student.architecture=deberta_v3"],
    ["method=meta_kd", "task=amazon", "method.domain=books"],
    ["method=dfkd_t3", "task=conll2003", "preset=t5_writer"],
    ["method=finetune", "task=stsb", "loss=logit_mse", "optim=sgd", "optim.schedule=cosine"],
    ["method=kd", "task=sst2", "data=generated", "data.path=/made", "generated.rows=0"],
    ["method=kd", "task=sst2", "task.labels=[no,'true']", "task.label_words=[no,'true']"],
]


def save(folder: Path, overrides: list[str]) -> Path:
    """The config.yaml of a run, as its folder has it."""
    path = folder / "config.yaml"
    config = compose.to_config(compose.compose(overrides))
    path.write_text(OmegaConf.to_yaml(OmegaConf.create(to_plain(config))))
    return path


@pytest.mark.parametrize("overrides", RUNS, ids=" ".join)
def test_a_saved_config_composes_to_the_same_run(overrides: list[str], tmp_path: Path) -> None:
    saved = [*overrides, "run_dir=/elsewhere", "output_dir=/elsewhere", "tracker=wandb", "debug=true"]
    words = expand_config([f"config={save(tmp_path, saved)}"])
    composed = compose.to_config(compose.compose(words))
    assert identity(composed) == identity(compose.to_config(compose.compose(overrides)))
    assert (composed.output_dir, composed.run_dir, composed.tracker.value, composed.debug) == (
        "outputs",
        None,
        "none",
        False,
    )
    assert not any("elsewhere" in word for word in words)


def test_the_words_are_few(tmp_path: Path) -> None:
    words = expand_config([f"config={save(tmp_path, ['method=kd', 'task=rte', 'optim.lr=0.003'])}"])
    assert words == ["preset=embedded", "method=kd", "task=rte", "optim.lr=0.003"]


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    path = save(tmp_path, ["method=kd", "method.temperature=4", "optim.lr=0.001", "seed=3"])
    words = expand_config([f"config={path}", "method=mate_kd", "optim.lr=0.002"])
    config = compose.load_config(words)
    assert (config.method.name, config.method.temperature, config.optim.lr, config.seed) == ("mate_kd", 1.0, 0.002, 3)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"hydra": {"run": {"dir": "/tmp"}}}, "Hydra"),
        ({"hydra": {"launcher": {"n_jobs": 2}}}, "Hydra"),
        ({"method": {"name": "kd", "_target_": "os.system"}}, "never code"),
        ({"optim": {"lr": "${oc.env:HOME}"}}, "interpolation"),
        ({"preset": "${oc.env:HOME}"}, "interpolation"),
        ({"seed=1 output_dir": "/evil"}, "output_dir"),
        ({"output_dir=/evil,x": 1}, "letters"),
        ({"data": {"name": "embedded", "dir=x": 1}}, "letters"),
        ({"student": {"name": "scratch", "sizes": {"a:1,b": 2}}}, "letters"),
        ({"~seed": 1}, "letters"),
        ({"+seed": 1}, "letters"),
    ],
    ids=str,
)
def test_what_no_command_line_may_have_is_refused(change: dict[str, Any], part: str, tmp_path: Path) -> None:
    path = save(tmp_path, ["method=kd"])
    content: Any = OmegaConf.to_container(OmegaConf.load(path))
    path.write_text(yaml.safe_dump(content | change))
    with pytest.raises(ConfigError, match=part):
        compose.load_config(expand_config([f"config={path}"]))


@pytest.mark.parametrize(
    "text",
    [
        b"[1, 2]",
        b"a: &x 1\nb: *x\n",
        b"\xff",
        b"{",
        b"!!python/object/apply:os.system [ls]",
        b"method: kd\n",
        b"[" * 1200,
    ],
)
def test_other_files_are_refused_with_the_path(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=r"config=.*config\.yaml"):
        expand_config([f"config={path}"])


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    save(tmp_path, ["method=kd"])
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        expand_config([f"config={tmp_path}"])
    with pytest.raises(ConfigError, match="no such file"):
        expand_config([f"config={tmp_path}/no.yaml"])
    with pytest.raises(ConfigError, match="one file"):
        expand_config(["config=a", "config=b"])
    with pytest.raises(ConfigError, match="preset"):
        expand_config([f"config={tmp_path}/config.yaml", "preset=mini"])
