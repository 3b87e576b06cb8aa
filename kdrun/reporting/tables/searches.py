"""Sentences and orders of searches, for tables and reports."""

from __future__ import annotations

from collections import Counter
from typing import Any

from kdrun.formatting import join_words, percent_sd, plural
from kdrun.storage.search_record import STATES, SearchRecord, TrialRecord


def counts_text(record: SearchRecord) -> str:
    """The number of trials by state: `13 finished, 6 pruned, 1 failed`."""
    counts = Counter(trial["state"] for trial in record["trials"])
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]) or "no trials"


def ranked(record: SearchRecord) -> list[TrialRecord]:
    """The trials: finished ones by score, then the others by number."""
    return sorted(
        record["trials"], key=lambda t: (t["score"] is None, -t["score"] if t["score"] is not None else 0, t["number"])
    )


def search_notes(record: dict[str, Any]) -> list[str]:
    """Sentences on the search behind an arm of a comparison; empty for other comparisons.

    Args:
        record: the comparison.
    """
    search = record.get("search")
    if search is None:
        return []
    tuned = record["arms"][-1]["name"]
    notes = [
        f"{tuned}: the best of {plural(search['trials'], 'trial')} ({search['states']}) by {search['split']} "
        f"{search['metric']} with seed {search['seed']}, run again with the seeds above"
    ]
    if search["split"] == record["split"]:
        notes.append(
            f"the search chose by the same {record['split']} rows that are reported, so the score of {tuned} is a "
            "little too high"
        )
    else:
        notes.append(f"the search chose by {search['split']}; it did not see the {record['split']} rows")
    for entry in search["unseen"]:
        if entry["split"] != record["split"]:
            scores = [f"{name} {percent_sd(score['mean'], score['sd'])}" for name, score in entry["scores"].items()]
            rows = f"{entry['split']} {search['metric']}, rows that the search did not choose by"
            notes.append(f"{rows}: {join_words(scores)}")
    return notes
