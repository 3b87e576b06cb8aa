"""A model spread over memory and disk gives the outputs of the whole model, bit by bit."""

import gc
import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    DebertaV2Config,
    GPT2Config,
    LlamaConfig,
    PreTrainedModel,
)

from kdrun.config.task import TaskConfig
from kdrun.config.teacher import PromptedTeacherConfig
from kdrun.data.tokenization import TextTokenizer
from kdrun.errors import ModelError, PathError
from kdrun.models import attention_maps, prompted, row_groups, spread
from kdrun.models.bundle import BuildContext, ModelBundle
from tests.helpers.tiny_families import save_language_model

CPU = torch.device("cpu")
SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64}
CONFIGS = {
    "bert": (BertConfig(**SIZES, vocab_size=100), attention_maps.NAME),
    "gpt2": (GPT2Config(n_embd=32, n_layer=4, n_head=2, vocab_size=100, pad_token_id=0), "sdpa"),
    "llama": (LlamaConfig(**SIZES, vocab_size=100, pad_token_id=0), "sdpa"),
}
IDS = torch.arange(5, 29).reshape(3, 8)
MASK = torch.tensor([[1] * 8, [1] * 5 + [0] * 3, [1] * 8])


def classifier(config: Any, attention: str = "sdpa") -> ModelBundle:
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation=attention).eval()
    tokenizer: Any = SimpleNamespace()
    return ModelBundle(model, tokenizer, "tiny", "fingerprint", True)


def share(model: PreTrainedModel, part: float) -> dict[spread.Location, int]:
    return {"cpu": int(part * 4 * sum(parameter.numel() for parameter in model.parameters()))}


def outputs(model: PreTrainedModel, **options: Any) -> Any:
    with torch.no_grad():
        return model(input_ids=IDS, attention_mask=MASK, output_hidden_states=True, **options)


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("part", [0.6, 0.0], ids=["memory and disk", "disk"])
def test_outputs_are_those_of_the_whole_model(family: str, part: float) -> None:
    bundle = classifier(*CONFIGS[family])
    options = {"output_attentions": True, "attention_maps": "scores"} if family == "bert" else {}
    whole, fused = outputs(bundle.model, **options), outputs(bundle.model).logits
    spread.spread(bundle, CPU, share(bundle.model, part))
    assert spread.is_spread(bundle.model)
    on_disk = sum(parameter.is_meta for parameter in bundle.model.parameters())
    assert 0 < on_disk < len(list(bundle.model.parameters())) + (part == 0)
    with torch.inference_mode():  # scoring; the weights are then loaded again outside of it
        assert torch.equal(bundle.model(input_ids=IDS, attention_mask=MASK).logits, fused)
    for _ in range(2):
        parts = outputs(bundle.model, **options)
        assert torch.equal(parts.logits, whole.logits)
        for name in ("hidden_states", *(["attentions"] if options else [])):
            assert all(map(torch.equal, parts[name], whole[name]))
            assert len(parts[name]) == 4 + (name == "hidden_states")
    assert "disk" in bundle.notes[-1]
    assert not any(parameter.requires_grad for parameter in bundle.model.parameters())


def test_the_files_have_no_name_and_vanish_with_the_model(tmp_path: Path) -> None:
    bundle = classifier(*CONFIGS["bert"])
    spread.spread(bundle, CPU, {"cpu": 0})
    folder = tmp_path / "cache"
    assert list(folder.iterdir()) == []
    maps = Path("/proc/self/maps")
    assert str(folder) in maps.read_text()
    del bundle
    gc.collect()
    assert str(folder) not in maps.read_text()


def test_rows_in_groups_are_spread_too() -> None:
    bundle = classifier(*CONFIGS["gpt2"])
    row_groups.group_rows(bundle.model, "length")
    whole = bundle.model(input_ids=IDS, attention_mask=MASK).logits
    spread.spread(bundle, CPU, {"cpu": 0})
    assert torch.equal(bundle.model(input_ids=IDS, attention_mask=MASK).logits, whole)


@pytest.mark.parametrize("words", [["the cat", "a dog sees"], ["the cat", "the dog"]], ids=["cached", "one pass"])
def test_a_prompted_model_scores_as_before(words: list[str], tmp_path: Path) -> None:
    task = TaskConfig(name="sst2", text=["a"], labels=["negative", "positive"])
    context = BuildContext("teacher", task, lambda: pytest.fail("no corpus"), seed=1, max_length=40)
    folder = save_language_model("llama", tmp_path / "model")
    settings = PromptedTeacherConfig(path=str(folder), template="{text}\nVerdict:", label_words=words, calibrate=True)
    bundle = prompted.build(settings, context)
    batch = TextTokenizer(bundle.tokenizer, 40, bundle.prompts).batch([("The cat sees the dog.",), ("A river.",)])
    with torch.inference_mode():
        whole = bundle.model(**batch).logits
        spread.spread(bundle, CPU, {"cpu": 0})
        assert torch.equal(bundle.model(**batch).logits, whole)


def test_a_model_that_fits_into_memory_is_left_alone() -> None:
    bundle = classifier(*CONFIGS["bert"])
    spread.spread(bundle, CPU, None)
    assert not spread.is_spread(bundle.model)
    assert "nothing is spread" in bundle.notes[-1]


def test_weights_that_are_used_outside_of_their_layer_are_refused() -> None:
    config = DebertaV2Config(**SIZES, vocab_size=100, relative_attention=True, pos_att_type=["p2c", "c2p"])
    with pytest.raises(ModelError, match=r"deberta-v2.*teacher\.placement=one"):
        spread.spread(classifier(config, "eager"), CPU, {"cpu": 0})


def test_other_logits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    mapped = spread._mapped

    def damaged(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: 1.1 * weight for name, weight in mapped(weights).items()}

    monkeypatch.setattr(spread, "_mapped", damaged)
    with pytest.raises(ModelError, match="outputs change"):
        spread.spread(classifier(*CONFIGS["bert"]), CPU, {"cpu": 0})


def test_a_full_disk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread.psutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(PathError, match=r"teacher\.max_memory.*KDRUN_CACHE"):
        spread.spread(classifier(*CONFIGS["bert"]), CPU, {"cpu": 0})


def large_model() -> BertForSequenceClassification:
    with torch.device("meta"):  # shapes without memory: 1.2 GiB
        return BertForSequenceClassification(BertConfig(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16))


def test_a_plan_for_gpus_keeps_layers_whole_and_within_the_limits() -> None:
    model = large_model()
    limits: dict[spread.Location, int] = {0: 400 * 2**20, 1: 400 * 2**20, "cpu": 100 * 2**20}
    locations = spread.plan(model, torch.device("cuda"), limits)
    sizes = spread._sizes(model, locations)
    assert list(sizes) == [0, 1, "cpu", "disk"]
    assert all(sizes[place] <= limits[place] for place in limits)
    layers = {name.split("layer.")[1].split(".")[0]: set() for name, _ in model.named_parameters() if "layer." in name}
    for name, _ in model.named_parameters():
        if "layer." in name:
            layers[name.split("layer.")[1].split(".")[0]].add(spread._location(name, locations))
    assert all(len(places) == 1 for places in layers.values())
    assert "GPU 0" in spread.describe(sizes)


def test_by_default_the_gpu_of_the_student_takes_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (900 * 2**20, 2**30))
    model = large_model()
    sizes = spread._sizes(model, spread.plan(model, torch.device("cuda"), None, trained_bytes=50 * 2**20))
    assert sum(sizes.values()) == 4 * sum(parameter.numel() for parameter in model.parameters())
    assert sizes.get(0, 0) < min(sizes[1], sizes[2])
    assert set(sizes) <= {0, 1, 2}


def test_a_limit_of_memory_counts_what_the_model_takes_already(monkeypatch: pytest.MonkeyPatch) -> None:
    model = classifier(*CONFIGS["bert"]).model
    size = 4 * sum(parameter.numel() for parameter in model.parameters())
    monkeypatch.setattr(spread.cgroup, "free_memory", lambda: 1000)
    assert spread._free_host_memory(model) == int(0.9 * (1000 + size))
    monkeypatch.setattr(spread.cgroup, "free_memory", lambda: None)
    assert spread._free_host_memory(model) > os.sysconf("SC_PAGE_SIZE")
