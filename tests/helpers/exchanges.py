"""Functions that tests run in several connected processes (`tests.helpers.processes`)."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdrun import ranks
from kdrun.errors import ConfigError, TrainingError
from kdrun.generation.reinforce import MovingBaseline
from kdrun.storage import cache
from kdrun.training.running_means import RunningMeans
from kdrun.training.step_exchange import agree_on_step


def all_exchanges(folder: str) -> dict[str, Any]:
    """Every exchange once, with the values that it gave in this process."""
    ranks.join()
    rank = ranks.rank()
    facts: dict[str, Any] = {
        "rank": [rank, ranks.size(), ranks.is_first()],
        "share": ranks.share([0, 1, 2, 3, 4]),
        "from_first": ranks.from_first({"rank": rank}),
        "gather": ranks.gather(rank * 10),
        "by_first": ranks.by_first(lambda: [rank, ranks.size()]),
        "error_by_first": _error_of(lambda: ranks.by_first(_refuse)),
    }
    with ranks.alone():
        facts["alone"] = [ranks.size(), ranks.gather(rank), ranks.share([0, 1, 2])]
    return facts | _steps(rank) | _cache(Path(folder), rank) | _messages(rank)


def _refuse() -> None:
    raise ConfigError(["optim.lr=-1 is negative"])


def _error_of(act: Any) -> str:
    try:
        act()
    except Exception as error:  # noqa: BLE001 - the test looks at its type
        return f"{type(error).__name__}: {error}"
    return ""


def _steps(rank: int) -> dict[str, Any]:
    parameters = [nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))]
    parameters[0].grad = torch.full((3,), float(rank + 1))
    if rank == 1:  # the only process in which the loss reached this parameter
        parameters[1].grad = torch.tensor([5.0, 7.0])
    agreement = agree_on_step(parameters, 3 + rank, None, 15 if rank == 1 else None, checkpoint_due=rank == 0)
    gradients: list[Tensor | None] = [p.grad for p in parameters]

    def fail() -> None:
        error = TrainingError("the loss is nan on training rows [7]") if rank == 1 else None
        agree_on_step(parameters, 0, error, None, checkpoint_due=False)

    means = RunningMeans(last={"role": "student"})
    if rank == 0:
        means.add({"soft": torch.tensor(6.0)})
        means.count = 3
    else:
        means.add({"soft": torch.tensor(4.0), "hard": torch.tensor(10.0)})
        means.count = 2
    baseline = MovingBaseline(0.5)
    baseline.value = 1.0
    for reward in [[2.0, 4.0], [9.0]][rank : rank + 1]:
        baseline.use(torch.tensor(reward))
    baseline.update()
    return {
        "agreement": [agreement.count, agreement.signal, agreement.checkpoint_due],
        "gradients": [None if gradient is None else gradient.tolist() for gradient in gradients],
        "error_of_step": _error_of(fail),
        "means": means.of_all_processes().means(),
        "baseline": baseline.value,
    }


def _cache(folder: Path, rank: int) -> dict[str, Any]:
    """Entries of the cache that the first process builds, alone and together with the others."""
    built = []

    def build(work: Path) -> None:
        built.append("alone" if ranks.size() == 1 else sum(ranks.gather(1)))
        (work / "value.txt").write_text(f"by {rank}")

    def fetch(name: str, *, together: bool) -> tuple[str, bool]:
        return cache.fetch("test", {"name": name}, build, lambda f: (f / "value.txt").read_text(), together=together)

    values = [fetch("a", together=False), fetch("b", together=True), fetch("b", together=True)]
    return {"cache": values, "built": built, "entries": len(list((folder / "cache" / "test").glob("*/value.txt")))}


def _messages(rank: int) -> dict[str, Any]:
    if rank == 0:
        ranks.post("greeting", "hello")
        return {"message": None, "missing": _error_of(lambda: ranks.receive("nothing", 0.2))}
    return {"message": ranks.receive("greeting"), "missing": _error_of(lambda: ranks.receive("nothing", 0.2))}
