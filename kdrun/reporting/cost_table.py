"""Costs of models as a table."""

from __future__ import annotations

from kdrun.formatting import NOT_MEASURED, count, param_count
from kdrun.storage.cost_card import TEACHER, CostCard, ModelCost

COLUMNS = [
    "model", "format", "parameters", "without embeddings", "weights (MB)", "MFLOPs per row", "p50 (ms)", "p95 (ms)",
    "rows/s", "peak memory, libraries of it (MB)",
]  # fmt: skip
MEGA = 1e6
PYTORCH, MODELS = "pytorch", "models."


def cost_rows(card: CostCard, label: str | None = None) -> list[list[str]]:
    """One row per model of a card; see `COLUMNS`.

    Args:
        card: the costs.
        label: name of the run, before its models; the teacher has its own name, since several runs may share it.
    """
    rows = []
    for key, model in card["models"].items():
        name = f"{key}: {model['name']}" if model["format"] == PYTORCH else key
        rows.append([name if label is None or key == TEACHER else f"{label}, {name}", *_cells(model)])
    return rows


def _cells(model: ModelCost) -> list[str]:
    flops, memory = model["flops_per_row"], model["peak_memory"]
    return [
        model["format"],
        param_count(model["params"]),
        param_count(model["params_without_embeddings"]),
        f"{model['bytes'] / MEGA:.2f}",
        NOT_MEASURED if flops is None else _mega(flops),
        f"{model['latency_p50_ms']:.2f}",
        f"{model['latency_p95_ms']:.2f}",
        count(model["rows_per_s"]),
        _memory(memory, model["library_memory"]),
    ]


def _mega(flops: int) -> str:
    millions = flops / MEGA
    return count(millions) if millions >= 100 else f"{millions:.3g}"


def _memory(peak: int | None, libraries: int | None) -> str:
    if peak is None or libraries is None:
        return NOT_MEASURED
    return f"{peak / MEGA:.0f} ({libraries / MEGA:.0f})"


def machine_facts(card: CostCard) -> list[tuple[str, str]]:
    """The machine and the way of measuring."""
    machine = card["machine"]
    flags = NOT_MEASURED if machine["flags"] is None else ", ".join(machine["flags"]) or "none of those that matter"
    onnx = f", onnxruntime {machine['onnxruntime']}" if machine["onnxruntime"] else ""
    return [
        ("processor", f"{machine['processor']}, {machine['cores'] or NOT_MEASURED} logical cores"),
        ("vector instructions", flags),
        ("threads", str(machine["threads"])),
        ("versions", f"torch {machine['torch']}{onnx}"),
        ("rows", f"{card['rows']} rows one at a time, {card['rounds']} rounds in which the models take turns"),
    ]


def notes(card: CostCard) -> list[str]:
    """Remarks for readers of a card."""
    machine, remarks = card["machine"], []
    load, cores = machine["load"], machine["cores"]
    if load is not None and cores is not None and load > 1:
        remarks.append(
            f"the load of the machine was {load:.1f} on {cores} cores: other programs ran, so the latencies are too "
            "high and differ from run to run; repeat the measurement on an idle machine"
        )
    remarks += [
        f"{key.removeprefix('models.')}: n/a ({why})" for key, why in card["reasons"].items() if "models" in key
    ]
    return remarks
