"""Grammars of WNLI (pronouns) and QNLI (answers to questions)."""

from __future__ import annotations

import random

from kdrun.data.embedded.lexicon import DAYS, PLACES, Draft, other, pronoun, same_gender, sentence, two_names

ITEMS: tuple[str, ...] = ("trophy", "lamp", "statue", "book", "guitar", "pillow", "vase", "camera")
HOLDERS: tuple[str, ...] = ("bag", "box", "drawer", "suitcase", "basket", "case", "locker", "pocket")
MISFIT: tuple[str, ...] = ("did not fit in", "would not go into", "could not fit into")
TOO_MUCH: tuple[str, ...] = ("big", "large", "wide", "thick")
TOO_LITTLE: tuple[str, ...] = ("small", "tight", "narrow", "tiny")
# Reasons that make the pronoun of "A thanked B because she ..." refer to A, and to B.
SUBJECT_VERBS: tuple[str, ...] = ("helped", "called", "paid", "met", "fed")
SUBJECT_REASONS: tuple[str, ...] = ("felt sorry", "was worried", "had time", "was generous", "felt guilty")
OBJECT_REASONS: tuple[str, ...] = ("was in trouble", "had asked", "was in need", "was alone", "was ill")


def _container(rng: random.Random, true: bool) -> tuple[str, str]:
    """Write the classic case of a thing that does not fit into a container."""
    item, holder = rng.choice(ITEMS), rng.choice(HOLDERS)
    much = rng.random() < 0.5
    quality = rng.choice(TOO_MUCH if much else TOO_LITTLE)
    premise = f"the {item} {rng.choice(MISFIT)} the {holder} because it was too {quality}"
    culprit = item if much == true else holder
    return premise, f"the {culprit} was too {quality}"


def _motive(rng: random.Random, true: bool) -> tuple[str, str]:
    """Write an action between people of one gender; the reason determines the referent of the pronoun."""
    doer, target = same_gender(rng)
    by_doer = rng.random() < 0.5
    reason = rng.choice(SUBJECT_REASONS if by_doer else OBJECT_REASONS)
    premise = f"{doer} {rng.choice(SUBJECT_VERBS)} {target} because {pronoun(doer)} {reason}"
    return premise, f"{doer if by_doer == true else target} {reason}"


def wnli(rng: random.Random) -> Draft:
    """Write one pronoun row: the hypothesis replaces the pronoun by a noun.

    Args:
        rng: Source of randomness.

    Returns:
        A row labeled 0 (not entailment) or 1 (entailment).
    """
    label = rng.randrange(2)
    first, second = rng.choice((_container, _motive))(rng, label == 1)
    return Draft(sentence(first), sentence(second), label)


ACTIVITIES: tuple[tuple[str, str], ...] = (
    ("sleep", "slept"), ("work", "worked"), ("wait", "waited"), ("sing", "sang"),
    ("rest", "rested"), ("dance", "danced"),
)  # fmt: skip
CAUSES: tuple[str, ...] = ("for fun", "for money", "from boredom", "for love", "from habit")
ADJUNCTS: dict[str, tuple[str, ...]] = {"where": PLACES, "when": DAYS, "why": CAUSES}
DEEDS: tuple[tuple[str, str], ...] = (
    ("thank", "thanked"), ("help", "helped"), ("visit", "visited"), ("call", "called"),
)  # fmt: skip


def _adjunct(rng: random.Random, answered: bool) -> tuple[str, str]:
    """Ask where, when, or why; one of two clauses may contain the answer."""
    names = two_names(rng)
    activities = rng.sample(ACTIVITIES, 2)
    subject = rng.randrange(2)
    adjuncts = [rng.choice(tuple(ADJUNCTS))]
    adjuncts.append(other(rng, tuple(ADJUNCTS), adjuncts[0]))
    clauses = [f"{names[i]} {activities[i][1]} {rng.choice(ADJUNCTS[adjuncts[i]])}" for i in range(2)]
    # The misleading question asks for an adjunct of the other clause, or of neither.
    question_word = adjuncts[subject] if answered else other(rng, tuple(ADJUNCTS), adjuncts[subject])
    question = f"{question_word} did {names[subject]} {activities[subject][0]}"
    if rng.random() < 0.3:  # The plain case, a step toward the longer one.
        return question, clauses[subject]
    return question, f"{clauses[0]} and {clauses[1]}"


def _who(rng: random.Random, answered: bool) -> tuple[str, str]:
    """Ask for the doer or the target of an action."""
    doer, target = two_names(rng)
    deed = rng.choice(DEEDS)
    answer = f"{doer} {deed[1]} {target} {rng.choice((*PLACES, *DAYS))}"
    if rng.random() < 0.5:
        return f"who {deed[1]} {target if answered else doer}", answer
    return f"whom did {doer if answered else target} {deed[0]}", answer


def qnli(rng: random.Random) -> Draft:
    """Write one row that asks whether the sentence answers the question.

    Args:
        rng: Source of randomness.

    Returns:
        A row labeled 0 (entailment: it does) or 1 (not entailment).
    """
    label = rng.randrange(2)
    first, second = rng.choice((_adjunct, _who))(rng, label == 0)
    return Draft(first + "?", sentence(second), label)
