"""Sentences and orders of searches, for tables and reports."""

from __future__ import annotations

from collections import Counter
from typing import Any

from kdrun.formatting import NOT_MEASURED, join_words, percent, percent_sd, plural
from kdrun.storage.search_record import STATES, SearchRecord, TrialRecord

UNTUNED = "untuned"
"""Description of a comparison whose arms have the settings of the command."""


def counts_text(record: SearchRecord) -> str:
    """The number of trials by state: `13 finished, 6 pruned, 1 failed`."""
    counts = Counter(trial["state"] for trial in record["trials"])
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]) or "no trials"


def ranked(record: SearchRecord) -> list[TrialRecord]:
    """The trials: finished ones by score, then the others by number."""
    return sorted(
        record["trials"], key=lambda t: (t["score"] is None, -t["score"] if t["score"] is not None else 0, t["number"])
    )


def tuning_text(record: dict[str, Any]) -> str:
    """How the arms of a comparison were tuned: `tuned, 8 trials each`, or `untuned`; empty for `kdrun tune`.

    Args:
        record: the comparison; one of an older version is untuned.
    """
    if record.get("search") is not None:  # the arms' names tell
        return ""
    trials = record.get("tuned")
    return f"tuned, {plural(trials, 'trial')} each" if trials else UNTUNED


def _tuning_notes(record: dict[str, Any]) -> list[str]:
    """Sentences on the searches behind the arms of a comparison with `tune=`."""
    tuned = [(arm["name"], arm["tuning"]) for arm in record["arms"] if arm.get("tuning")]
    notes = []
    if tuned:
        by = f"{tuned[0][1]['split']} {tuned[0][1]['metric']} with seed {tuned[0][1]['seed']}"
        notes.append(f"{tuning_text(record)}: chosen by {by}; the reported {record['split']} rows had no part in it")
    for name, tuning in tuned:
        values = " ".join(f"{key}={value}" for key, value in tuning["chosen"].items()) or "the default values"
        scores = f"{tuning['split']} {percent(tuning['best'])}, default {percent(tuning['default'])}"
        notes.append(f"{name}: {values} (trial {tuning['trial'] or NOT_MEASURED}; {scores}; {tuning['states']})")
    notes += [f"{arm['name']}: nothing to tune" for arm in record["arms"] if not arm.get("tuning")]
    return notes


def search_notes(record: dict[str, Any]) -> list[str]:
    """Sentences on the searches behind the arms of a comparison; empty for an untuned one.

    Args:
        record: the comparison.
    """
    search = record.get("search")
    if search is None:
        return _tuning_notes(record) if record.get("tuned") else []
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
