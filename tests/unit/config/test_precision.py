"""`runtime.precision=auto` on machines with and without bf16."""

import sys
from pathlib import Path

import pytest
import torch

from kdrun import processor
from kdrun.config import compose, precision
from kdrun.config.identity import config_hash
from kdrun.config.runtime import Device, Precision

PRESETS = ["mini", "mini_writer", "paper", "paper_bert", "paper_zskd"]
TINY_PRESETS = ["embedded", "smoke", "t5_writer"]


@pytest.fixture(params=["amx_bf16", None])
def instructions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str | None:
    monkeypatch.setattr(processor, "bf16_instructions", lambda: request.param)
    monkeypatch.setattr(precision, "GPU_NODES", ())
    return request.param


def load(*overrides: str) -> Precision:
    return compose.load_config(["method=finetune", "task=sst2", *overrides]).runtime.precision


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_follow_the_processor(preset: str, instructions: str | None) -> None:
    expected = Precision.fp32 if instructions is None else Precision.bf16
    more = {"mini": ["data.dir=FOLDER"], "mini_writer": ["data.dir=FOLDER", "task=conll2003"]}.get(preset, [])
    assert load(f"preset={preset}", *more) is expected


@pytest.mark.parametrize("preset", TINY_PRESETS)
def test_presets_of_tiny_models_have_the_same_numbers_everywhere(preset: str, instructions: str | None) -> None:
    assert load(f"preset={preset}") is Precision.fp32


@pytest.mark.parametrize("value", [Precision.fp32, Precision.bf16])
def test_an_explicit_precision_stays(value: Precision, instructions: str | None) -> None:
    assert load("preset=smoke", f"runtime.precision={value.value}") is value


def test_auto_has_the_identity_of_the_value_that_it_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "GPU_NODES", ())
    hashes = {}
    for name in ("auto", "bf16", "fp32"):
        for flag in ("amx_bf16", None):
            monkeypatch.setattr(processor, "bf16_instructions", lambda flag=flag: flag)
            config = compose.load_config(["method=kd", "preset=smoke", f"runtime.precision={name}"])
            hashes[name, flag] = config_hash(config)
    assert hashes["auto", "amx_bf16"] == hashes["bf16", "amx_bf16"] == hashes["bf16", None]
    assert hashes["auto", None] == hashes["fp32", None] == hashes["fp32", "amx_bf16"]
    assert hashes["bf16", None] != hashes["fp32", None]


@pytest.mark.parametrize("is_native", [True, False])
def test_a_gpu_decides_unless_the_cpu_is_chosen(
    is_native: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "bf16_instructions", lambda: None if is_native else "amx_bf16")
    monkeypatch.setattr(precision, "GPU_NODES", (tmp_path,))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: is_native)
    assert precision.bf16_support(Device.auto).is_native == is_native
    assert precision.bf16_support(Device.auto).reason.startswith("A GPU ")
    assert precision.bf16_support(Device.cpu).is_native != is_native


def test_device_files_without_a_gpu_leave_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "GPU_NODES", (tmp_path,))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(processor, "bf16_instructions", lambda: "avx512_bf16")
    assert "avx512_bf16" in precision.bf16_support(Device.auto).reason


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the kernel's list of flags")
def test_the_flags_agree_with_those_of_torch() -> None:
    is_native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    if processor.vector_flags() and "avx2" in (processor.vector_flags() or []):
        assert (processor.bf16_instructions() is not None) == is_native
