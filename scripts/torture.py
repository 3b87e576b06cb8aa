"""Kill runs at moments drawn at random, again and again, and see that they leave what an undisturbed run leaves.

    .venv/bin/python scripts/torture.py 100 method=kd,mate_kd seed=7

Kills the runs of the named methods (all of them by default) so often in all, wherever they are: while models are
built, a teacher is fine-tuned, in a step, while a checkpoint or a result is written. Says which seed drew the moments,
and exits with 1 at the first difference.
"""

import random
import shutil
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kdrun import registry  # noqa: E402
from tests import killing  # noqa: E402

LEFT_ALONE = 0.3
"""Share of the attempts that are, so that a run comes to its end."""


def main(kills: int, methods: list[str], seed: int) -> int:
    """Go round the methods until so many runs were killed."""
    draw, done, rounds = random.Random(seed), 0, 0
    with TemporaryDirectory() as place:
        root = Path(place)
        with killing.server(root, root / "cache") as server:
            while done < kills:
                method = methods[rounds % len(methods)]
                rounds += 1
                count, differs = one(method, server, root, draw, kills - done)
                done += count
                print(
                    f"{method}: killed {count} times, {'differs in ' + ', '.join(differs) if differs else 'the same'}"
                )
                if differs:
                    print(server.shown, f"seed={seed}", sep="\n")
                    return 1
    print(f"{done} kills in {rounds} runs, seed={seed}: every run left what it leaves undisturbed")
    return 0


def one(method: str, server: killing.Server, root: Path, draw: random.Random, most: int) -> tuple[int, list[str]]:
    """Kill one run until it comes to its end; how often that was, and what differs."""
    words = killing.words(method, root)
    whole, killed = root / f"{method}-whole", root / f"{method}-killed"
    if not whole.exists() and server.run(*words, f"run_dir={whole}"):
        return 0, [server.shown]
    shutil.rmtree(killed, ignore_errors=True)
    for part in ("teachers", "logits"):  # so that its teacher is fine-tuned in the killed run too
        shutil.rmtree(root / "cache" / part, ignore_errors=True)
    count, longest = 0, 0.0
    while True:
        is_left_alone = count == most or draw.random() < LEFT_ALONE
        after = 0.0 if is_left_alone else draw.uniform(0.0, max(longest, 10.0))
        started = time.monotonic()
        code = server.run(*words, f"run_dir={killed}", after=after)
        longest = max(longest, time.monotonic() - started)
        count += code == -signal.SIGKILL
        if code == 0:
            return count, killing.unlike(killing.left_by(whole), killing.left_by(killed))
        if code != -signal.SIGKILL:
            return count, [f"exit code {code}"]


if __name__ == "__main__":
    given: dict[str, str] = {key: value for key, _, value in (word.partition("=") for word in sys.argv[2:])}
    every = [m for m, entry in registry.entries("method").items() if entry.target.__module__.startswith("kdrun.")]
    chosen = given["method"].split(",") if "method" in given else every
    sys.exit(main(int(sys.argv[1]), chosen, int(given.get("seed", time.time()))))
