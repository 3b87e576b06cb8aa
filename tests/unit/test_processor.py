"""Instructions and cores of a processor, from files like the kernel's."""

import os
from pathlib import Path

import pytest

from kdrun import processor

X86 = "processor\t: 0\nmodel name\t: A Processor\nflags\t\t: fpu avx2 avx512f {}\n\nprocessor\t: 1\nflags\t: fpu\n"


def write(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "cpuinfo").write_text(text)
    monkeypatch.setattr(processor, "CPUINFO", folder / "cpuinfo")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (X86.format("avx512_bf16 amx_bf16"), "amx_bf16"),
        (X86.format("avx512_bf16"), "avx512_bf16"),
        (X86.format(""), None),
        ("processor : 0\nFeatures : fp asimd asimddp i8mm bf16\n", "bf16"),
        ("", None),
    ],
)
def test_the_fastest_bf16_instructions(
    text: str, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, text, monkeypatch)
    assert processor.bf16_instructions() == expected


def test_name_and_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, X86.format("amx_bf16"), monkeypatch)
    assert processor.processor() == "A Processor"
    assert processor.vector_flags() == ["avx2", "avx512f", "amx_bf16"]
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "missing")
    assert processor.vector_flags() is None


@pytest.mark.parametrize(("quota", "cores"), [(None, 4), (1.5, 2), (0.2, 1), (9.0, 4)])
def test_cores_are_limited_by_affinity_and_quota(
    quota: float | None, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(processor.cgroup, "cpu_quota", lambda: quota)
    assert processor.usable_cores() == cores
