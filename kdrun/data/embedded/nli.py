"""Grammars of the inference tasks: MNLI and RTE."""

from __future__ import annotations

import random

from kdrun.data.embedded.lexicon import CITIES, Draft, other, sentence, two_names

ENTAILMENT, NEUTRAL, CONTRADICTION = 0, 1, 2
SIZES: tuple[str, ...] = ("small", "young", "quiet", "hungry", "tired", "old")
# The matched genre, then the genre of the mismatched split.
NOUNS: tuple[tuple[str, ...], ...] = (
    ("dog", "cat", "horse", "bird", "rabbit", "wolf", "monkey", "bear"),
    ("child", "farmer", "teacher", "driver", "student", "singer", "doctor", "guest"),
)
VERBS: tuple[str, ...] = ("slept", "ate", "played", "waited", "drank", "moved", "rested", "laughed")
ADVERBS: tuple[str, ...] = ("in the park", "at night", "near the house", "after lunch", "on the hill", "before noon")
# Quantifiers under which restricting the noun (or the verb phrase) preserves truth.
NOUN_DOWN = frozenset({"every", "no"})
VERB_DOWN = frozenset({"no"})


def _claim(quantifier: str, size: str, noun: str, verb: str, adverb: str) -> str:
    """State that a quantified noun did something."""
    return sentence(quantifier, size, noun, verb, adverb)


def _same_quantifier(quantifier: str, noun_slot: bool, narrower: bool) -> int:
    """Label of a hypothesis that narrows or widens one slot and keeps the quantifier."""
    downward = quantifier in (NOUN_DOWN if noun_slot else VERB_DOWN)
    return ENTAILMENT if downward == narrower else NEUTRAL


def _some_against_no(premise: str, narrower: bool) -> int:
    """Label of "some" against "no": a contradiction if the claim of "some" is the narrower one."""
    some_is_narrower = narrower == (premise == "no")
    return CONTRADICTION if some_is_narrower else NEUTRAL


def mnli(rng: random.Random, genre: int = 0) -> Draft:
    """Write one three-way inference row by monotone edits under a quantifier.

    Args:
        rng: Source of randomness.
        genre: 0 for the matched genre, 1 for the mismatched one.

    Returns:
        A row labeled 0 (entailment), 1 (neutral), or 2 (contradiction).
    """
    noun, verb = rng.choice(NOUNS[genre]), rng.choice(VERBS)
    size, adverb = rng.choice(SIZES), rng.choice(ADVERBS)
    noun_slot, narrower = rng.random() < 0.5, rng.random() < 0.5
    edited = (size, "") if noun_slot else ("", adverb)
    # The unedited slot may be filled with the same words on both sides.
    extra = ("", adverb) if noun_slot else (size, "")
    shared = extra if rng.random() < 0.3 else ("", "")
    full = tuple(a + b for a, b in zip(edited, shared, strict=True))
    before, after = (shared, full) if narrower else (full, shared)
    premise = rng.choice(("every", "some", "no"))
    if rng.random() < 0.5:
        second, label = premise, _same_quantifier(premise, noun_slot, narrower)
    elif premise == "every":
        second, label = "no", CONTRADICTION
        if narrower and not noun_slot:
            label = NEUTRAL  # All slept; that none slept at night may still be true.
    else:
        second = "no" if premise == "some" else "some"
        label = _some_against_no(premise, narrower)
    first = _claim(premise, before[0], noun, verb, before[1])
    if rng.random() < 0.2:  # Another animal or activity: nothing follows.
        label = NEUTRAL
        if rng.random() < 0.5:
            verb = other(rng, VERBS, verb)
        else:
            noun = other(rng, NOUNS[genre], noun)
    return Draft(first, _claim(second, after[0], noun, verb, after[1]), label)


ACTS: tuple[tuple[str, str], ...] = (
    ("thanked", "thanked"), ("called", "called"), ("helped", "helped"), ("visited", "visited"),
    ("saw", "seen"), ("chose", "chosen"),
)  # fmt: skip
TASKS: tuple[tuple[str, str], ...] = (
    ("lock the door", "locked the door"), ("pay the bill", "paid the bill"),
    ("close the window", "closed the window"), ("wash the car", "washed the car"),
    ("bring the map", "brought the map"), ("feed the cat", "fed the cat"),
)  # fmt: skip
DONE: tuple[str, ...] = ("managed to", "remembered to", "was able to")
UNDONE: tuple[str, ...] = ("forgot to", "failed to", "refused to")


def _outcome(rng: random.Random, true: bool) -> tuple[str, str]:
    """Write a premise whose verb implies that a job was or was not done."""
    name = two_names(rng)[0]
    job = rng.choice(TASKS)
    done = rng.random() < 0.5
    premise = f"{name} {rng.choice(DONE if done else UNDONE)} {job[0]}"
    claimed = done == true
    return premise, f"{name} {job[1]}" if claimed else f"{name} never {job[1]}"


def _relative(rng: random.Random, true: bool) -> tuple[str, str]:
    """Write a premise with a relative clause, and a hypothesis on the clause or the main statement."""
    doer, target = two_names(rng)
    act, city = rng.choice(ACTS)[0], rng.choice(CITIES)
    about_doer = rng.random() < 0.5
    clause = f", who lives in {city}"
    premise = f"{doer}{clause}, {act} {target}" if about_doer else f"{doer} {act} {target}{clause}"
    if rng.random() < 0.5:
        return premise, f"{doer if about_doer == true else target} lives in {city}"
    return premise, f"{doer} {act} {target}" if true else f"{target} {act} {doer}"


def _passive(rng: random.Random, true: bool) -> tuple[str, str]:
    """Write an active premise with details and a passive hypothesis without them."""
    doer, target = two_names(rng)
    act = rng.choice(ACTS)
    premise = f"{doer} {act[0]} {target} {rng.choice(ADVERBS)}"
    if not true:
        doer, target = target, doer
    return premise, f"{target} was {act[1]} by {doer}"


def rte(rng: random.Random) -> Draft:
    """Write one two-way inference row.

    Args:
        rng: Source of randomness.

    Returns:
        A row labeled 0 (entailment) or 1 (not entailment).
    """
    label = rng.randrange(2)
    first, second = rng.choice((_outcome, _relative, _passive))(rng, label == 0)
    return Draft(sentence(first), sentence(second), label)
