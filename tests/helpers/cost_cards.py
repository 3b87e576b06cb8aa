"""Cards of `kdrun cost` without a measurement."""

from typing import Any


def model_cost(**changes: Any) -> dict[str, Any]:
    return {
        "name": "bert 2x64", "format": "pytorch", "params": 133122, "params_without_embeddings": 90000, "bytes": 532488,
        "flops_per_row": 1_500_000, "tokens_per_row": 20, "latency_p50_ms": 2.0, "latency_p95_ms": 3.0,
        "rows_per_s": 900.0, "peak_memory": 400_000_000, "library_memory": 300_000_000,
    } | changes  # fmt: skip


def card(latency: float, *, measured: str = "m", processor: str = "cpu <b>", files: Any = None) -> dict[str, Any]:
    machine = {"processor": processor, "flags": ["avx2"], "cores": 2, "threads": 1, "load": 0.2, "torch": "2.13"}
    models = {"teacher": model_cost(latency_p50_ms=9.0), "student": model_cost(latency_p50_ms=latency)}
    return {
        "measured": measured, "machine": machine | {"onnxruntime": None}, "rows": 100, "rounds": 5,
        "models": models | (files or {}),
        "reasons": {},
    }  # fmt: skip
