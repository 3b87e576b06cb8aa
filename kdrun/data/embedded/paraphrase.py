"""Grammars of the similarity tasks: MRPC, QQP and STS-B.

A positive pair may repeat its sentence word for word. Without such pairs, equal sets of words would indicate negatives,
which swap two names.
"""

from __future__ import annotations

import random

from kdrun.data.embedded.lexicon import CITIES, DAYS, NAMES, Draft, other, sentence, two_names

OBJECTS: tuple[str, ...] = ("book", "car", "ring", "map", "lamp", "coat", "letter", "camera")
# Each entry: two past forms that mean the same, and their participles.
TRANSFERS: tuple[tuple[tuple[str, str], tuple[str, str]], ...] = (
    (("gave", "given"), ("handed", "handed")),
    (("sent", "sent"), ("mailed", "mailed")),
    (("lent", "lent"), ("loaned", "loaned")),
    (("showed", "shown"), ("presented", "presented")),
)


def _change(rng: random.Random, pair: tuple[str, str], values: tuple[str, ...], fault: str) -> tuple[str, str]:
    """Change a pair of names by the fault: swap both, replace one, or keep them."""
    left, right = pair
    if fault == "swap":
        return right, left
    if fault == "replace":
        fresh = rng.choice([value for value in values if value not in pair])
        return (fresh, right) if rng.random() < 0.5 else (left, fresh)
    return left, right


def _transfer(rng: random.Random, verb: tuple[str, str], names: tuple[str, str], thing: str, passive: bool) -> str:
    """State a transfer of a thing, in the active or the passive voice."""
    giver, taker = names
    if passive:
        return f"the {thing} was {verb[1]} to {taker} by {giver}"
    return f"{giver} {verb[0]} the {thing} to {taker}"


def mrpc(rng: random.Random) -> Draft:
    """Write one paraphrase row about a transfer of a thing.

    Negatives mostly swap giver and taker, which keeps the set of words.

    Args:
        rng: Source of randomness.

    Returns:
        A row labeled 0 (not equivalent) or 1 (equivalent).
    """
    label = rng.randrange(2)
    names, thing, verbs = two_names(rng), rng.choice(OBJECTS), rng.choice(TRANSFERS)
    day = rng.choice(DAYS)
    first = sentence(_transfer(rng, rng.choice(verbs), names, thing, False), day)
    if not label:
        change = rng.random()
        if change < 0.6:
            names = names[1], names[0]
        elif change < 0.8:
            names = _change(rng, names, NAMES, "replace")
        else:
            thing = other(rng, OBJECTS, thing)
    passive = rng.random() < 0.5
    second = sentence(_transfer(rng, rng.choice(verbs), names, thing, passive), day)
    return Draft(first, second, label)


ROUTES: tuple[str, ...] = (
    "how do i get from {0} to {1} {2}", "how do people go from {0} to {1} {2}",
)  # fmt: skip
ROUTE_BACK = "how can i travel to {1} from {0} {2}"
# Phrases of equal length keep words at the same positions, which tiny models match first.
MEANS: tuple[str, ...] = ("by train", "by bus", "by car", "at night", "in winter")
# Few people and few cities: each pair appears often, in either order.
FRIENDS: tuple[str, ...] = ("anna", "mary", "lisa", "tom", "john", "paul")
FEELINGS: tuple[str, ...] = ("like", "trust", "help", "call", "admire", "avoid")
HABITS: tuple[str, ...] = ("so much", "so often", "these days", "at all")
REASONS: tuple[str, ...] = ("why does {0} {2} {1} {3}", "why would {0} {2} {1} {3}")


def _route(rng: random.Random, fault: str) -> tuple[str, str]:
    """Write two questions about a trip."""
    start, goal = rng.sample(CITIES, 2)
    means = rng.choice(MEANS)
    first = rng.choice(ROUTES).format(start, goal, means)
    start, goal = _change(rng, (start, goal), CITIES, fault)
    return first, rng.choice((*ROUTES, *ROUTES, ROUTE_BACK)).format(start, goal, means)


def _reason(rng: random.Random, fault: str) -> tuple[str, str]:
    """Write two questions about one person's attitude to another."""
    first_name, second_name = rng.sample(FRIENDS, 2)
    names = first_name, second_name
    feeling = rng.choice(FEELINGS)
    habit = rng.choice(HABITS)
    first = rng.choice(REASONS).format(*names, feeling, habit)
    names = _change(rng, names, FRIENDS, fault)
    return first, rng.choice(REASONS).format(*names, feeling, habit)


def qqp(rng: random.Random) -> Draft:
    """Write one duplicate-question row about trips or people.

    Args:
        rng: Source of randomness.

    Returns:
        A row labeled 0 (not duplicate) or 1 (duplicate).
    """
    label = rng.randrange(2)
    fault = "" if label else rng.choices(("swap", "replace"), (0.6, 0.4))[0]
    first, second = rng.choice((_route, _route, _reason))(rng, fault)
    return Draft(first + "?", second + "?", label)


AGENTS: tuple[str, ...] = ("man", "woman", "dog", "horse", "child", "robot")
ACTIONS: tuple[tuple[str, str], ...] = (
    ("chasing", "following"), ("watching", "observing"), ("pushing", "shoving"),
    ("pulling", "dragging"),
)  # fmt: skip
SCENES: tuple[str, ...] = ("in the park", "on the beach", "in the street", "at night")


def stsb(rng: random.Random) -> Draft:
    """Write one similarity row about an agent, an action, a patient and a scene.

    Args:
        rng: Source of randomness.

    Returns:
        A row with a score from 0 (unrelated) to 5 (same meaning).
    """
    agent, patient = rng.sample(AGENTS, 2)
    action, scene = rng.choice(ACTIONS), rng.choice(SCENES)
    first = sentence(f"the {agent} is {rng.choice(action)} the {patient}", scene)
    score = 5.0
    change = rng.random()
    if change < 0.4:
        agent, patient = patient, agent
        score -= 2.5
    elif change < 0.55:
        agent = rng.choice([name for name in AGENTS if name not in (agent, patient)])
        score -= 1.5
    if rng.random() < 0.35:
        action = other(rng, ACTIONS, action)
        score -= 1.5
    if rng.random() < 0.35:
        scene = other(rng, SCENES, scene)
        score -= 1.0
    passive = rng.random() < 0.3
    form = rng.choice(action)
    core = f"the {patient} is {form} by the {agent}" if passive else f"the {agent} is {form} the {patient}"
    return Draft(first, sentence(core, scene), score)
