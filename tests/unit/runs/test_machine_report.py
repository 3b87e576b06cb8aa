"""What a run says about the arithmetic of its machine."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kdrun import processor
from kdrun.config import precision
from kdrun.config.runtime import Device, Precision
from kdrun.runs import machine_report


def run(value: Precision) -> tuple[Any, list[str]]:
    warnings: list[str] = []
    runtime = SimpleNamespace(precision=value, device=Device.cpu)
    console = SimpleNamespace(warning=warnings.append)
    accelerator = SimpleNamespace(device=None)
    return SimpleNamespace(config=SimpleNamespace(runtime=runtime), console=console, accelerator=accelerator), warnings


@pytest.mark.parametrize(
    ("flag", "value", "fact", "is_slow"),
    [
        ("amx_bf16", Precision.bf16, "bf16: this processor has amx_bf16", False),
        ("amx_bf16", Precision.fp32, None, False),
        (None, Precision.fp32, "fp32: this processor has none of", False),
        (None, Precision.bf16, None, True),
    ],
)
def test_the_reason_is_shown_and_slow_bf16_is_warned_of(
    flag: str | None, value: Precision, fact: str | None, is_slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "bf16_instructions", lambda: flag)
    monkeypatch.setattr(precision, "GPU_NODES", ())
    monkeypatch.setattr(machine_report.machine_speed, "bf16_factor", lambda device: 23.4)
    one, warnings = run(value)
    facts = machine_report.precision_facts(one)
    assert facts[0][1].startswith(fact) if facts and fact else facts == [] and fact is None
    machine_report.warn_of_slow_bf16(one)
    assert len(warnings) == is_slow
    assert all("23 times" in text and "runtime.precision=auto" in text for text in warnings)


@pytest.mark.parametrize(
    ("device", "optimizer", "processes", "texts"),
    [
        ("cpu", "adamw", 1, ()),
        ("cuda", "adamw", 1, ("adamw is fused", "checked one step later", "pinned memory")),
        ("cuda", "adamw", 2, ("adamw is fused", "checked in each step")),
        ("cuda", "sgd", 1, ("sgd is not fused", "checked in each step")),
    ],
)
def test_a_run_reports_how_it_uses_a_gpu(device: str, optimizer: str, processes: int, texts: tuple[str, ...]) -> None:
    facts = machine_report.gpu_facts(torch.device(device), optimizer, processes)
    assert bool(facts) is bool(texts)
    assert all(text in value for _, value in facts for text in texts)
