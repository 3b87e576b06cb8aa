"""Notes on the intervals and the state of comparisons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kdrun.formatting import plural
from kdrun.reporting.tables import metric_format, run_facts

Comparison = dict[str, Any]


def unfinished_note(record: Comparison) -> str:
    """Say how far an unfinished comparison is."""
    most = (record.get("sequential") or {}).get("max_seeds")
    limit = f" of at most {most}" if most else ""
    return (
        f"Unfinished: comparison {record['comparison_id']} of {run_facts.task_name(record)}, "
        f"{plural(len(record['seeds']), 'seed')}{limit}. Decided claims stay decided; INCONCLUSIVE ones are open."
    )


def interval_notes(records: list[Comparison]) -> Iterator[str]:
    """Yield sentences on the intervals, and why some are missing."""
    descriptions = dict.fromkeys(
        f"{'nats' if metric_format.is_lower_better(record['metric']) else 'percentage points'}, with the "
        f"{100 * confidence_of(pair, record):.3g} % interval, {pair['how']}; "
        f"a tie is within {metric_format.margin(record['metric'], record['margin'])}"
        for record in records
        for pair in record["pairs"]
        if pair["interval"] is not None
    )
    yield from (f"a − b: {description}." for description in descriptions)
    if any(pair.get("tie_test") for record in records for pair in record["pairs"]):
        yield (
            "TIES is corrected for several claims apart from BEATS and LOSES: a claim whose interval is within the "
            "margin is undecided where the wider interval that decides TIES is not."
        )
    reasons: dict[str, dict[str, None]] = {}
    for record in records:
        for pair in record["pairs"]:
            reason = pair.get("reason") or ("" if pair["interval"] else "fewer than two seeds finished in both arms")
            if reason:
                reasons.setdefault(reason, {})[f"{run_facts.task_name(record)}, {pair['a']} − {pair['b']}"] = None
    yield from (f"{'; '.join(pairs)}: {reason}." for reason, pairs in reasons.items())


def confidence_of(pair: dict[str, Any], record: Comparison) -> float:
    """Return the confidence of a pair's interval; older records have one for all pairs."""
    return pair.get("confidence") or record["confidence"]
