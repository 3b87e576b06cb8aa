"""Ended trials and the best one of a search's record.

This module imports without torch and without Optuna.
"""

from __future__ import annotations

from kdrun.storage.search_record import SearchRecord, TrialRecord

NOT_ENDED = ("running", "waiting")
"""States of trials that run in some process, or wait for one."""


def best_trial(record: SearchRecord) -> TrialRecord | None:
    """The best trial; None if no trial has finished."""
    return next((trial for trial in record["trials"] if trial["number"] == record["best"]), None)


def best_overrides(record: SearchRecord) -> list[str] | None:
    """The overrides of the best trial, none if the default values are the best; None if no trial has finished."""
    best = best_trial(record)
    if best is None:
        return None
    return [] if best.get("default") else [f"{key}={value}" for key, value in best["values"].items()]


def first_trials(record: SearchRecord, count: int) -> SearchRecord:
    """The record as if the search had ended after its first trials.

    Args:
        record: of a search, which may have more trials.
        count: number of trials.
    """
    trials = [trial for trial in record["trials"] if trial["number"] <= count]
    scores = {trial["number"]: trial["score"] for trial in trials if trial["score"] is not None}
    best = max(scores, key=lambda number: (scores[number], -number), default=None)
    return {**record, "trials": trials, "best": best, "trials_requested": count}


def unended(record: SearchRecord) -> list[TrialRecord]:
    """Trials that run in other processes, or wait for one."""
    return [trial for trial in record["trials"] if trial["state"] in NOT_ENDED]


def has_ended(record: SearchRecord) -> bool:
    """Whether all trials of a search have ended."""
    return len(record["trials"]) >= record["trials_requested"] and not unended(record)
