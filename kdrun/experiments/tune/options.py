"""Options of `kdrun tune`."""

from __future__ import annotations

from dataclasses import dataclass

from kdrun.config.fields import setting


@dataclass
class TuneOptions:
    """Options of a search, besides the overrides of its runs."""

    space: str | None = setting(
        None,
        "keys and their ranges, e.g. '{optim.lr: log[1e-5, 1e-3]}', a shipped space or a YAML file; null is the "
        "method's shipped space",
    )
    trials: int = setting(20, "trials of the search, over all of its processes", gt=0)
    seed: int = setting(1, "seed of the search, and of the runs of all its trials", ge=0)
    seeds: int = setting(3, "fresh seeds on which the best trial and the default are compared; 0 for none", ge=0)
    margin: float = setting(0.01, "differences within ± this count as a tie, in units of the metric", ge=0)
    prune: bool = setting(True, "stop a trial whose dev score is below the median of the finished ones")
    sweep: str | None = setting(None, "name of the search; null is derived from the space and the other overrides")
