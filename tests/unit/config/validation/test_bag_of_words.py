"""Methods, tasks and settings that refuse a bag of words."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from kdrun import registry
from kdrun.config import compose
from kdrun.config.model import BAG_OF_WORDS, PretrainedConfig
from kdrun.config.runtime import Shard
from kdrun.config.schema import RunConfig
from kdrun.config.validation.bag_of_words import bag_of_words_problems, fitting_methods

TRANSFORMERS_ONLY = ["crd", "kd_freelb", "mate_kd", "meta_kd", "minilm", "pkd", "tinybert_kd", "zskd"]


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return compose.load_config(["method=kd", "task=sst2", "student=bow"])


def problems(config: RunConfig, method: str = "kd") -> list[str]:
    config = dataclasses.replace(config, method=SimpleNamespace(name=method))
    needs = registry.get("method", method).target.requires
    return [str(problem) for problem in bag_of_words_problems(config, needs)]


def test_a_method_that_needs_layers_or_embeddings_names_its_reason(config: RunConfig) -> None:
    refused = {method: texts for method in registry.entries("method") if (texts := problems(config, method))}
    assert set(refused) == set(registry.entries("method")) - set(fitting_methods())
    assert set(refused) >= set(TRANSFORMERS_ONLY)
    assert {"finetune", "kd", "kd_augment", "kd_ood", "dfkd_t3"} <= set(fitting_methods())
    assert "method=pkd needs a transformer: it compares hidden states" in refused["pkd"][0]
    assert "embeddings instead of tokens" in refused["kd_freelb"][0]
    assert ", ".join(fitting_methods()) in refused["kd_freelb"][0]


def test_a_saved_bag_of_words_is_recognized(config: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": BAG_OF_WORDS}))
    saved = PretrainedConfig(name="pretrained", path=str(tmp_path), hub="")
    assert "method=pkd needs" in problems(dataclasses.replace(config, student=saved), "pkd")[0]
    as_teacher = dataclasses.replace(config, teacher=saved, student=PretrainedConfig(name="pretrained", hub="a/b"))
    assert "teacher.path" in problems(as_teacher, "pkd")[0]
    assert not problems(as_teacher)


def test_a_divided_student_is_refused(config: RunConfig) -> None:
    sharded = dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, shard=Shard.student))
    assert "runtime.shard=student" in problems(sharded)[0]


def test_tasks_answered_with_text_are_refused(config: RunConfig) -> None:
    task = dataclasses.replace(config.task, name="conll2003", labels=[], entities={"PER": "person"})
    assert "conll2003" in problems(dataclasses.replace(config, task=task))[0]
