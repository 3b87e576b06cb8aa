"""Simulate comparisons whose truth is known, and tabulate how often kdrun's verdicts are wrong or right.

    python scripts/simulate_comparisons.py                        print the tables; some minutes on one core
    python scripts/simulate_comparisons.py --markdown             write them into docs/guides/compare.md too
    python scripts/simulate_comparisons.py --replications 400     a quick look

The decision code is that of `kdrun compare` (`kdrun.experiments.compare.family` and `sequential`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.blocks import put, table  # noqa: E402
from benchmarks.comparisons import FIRST, LAST, Rates, Setting, simulate  # noqa: E402
from kdrun.experiments.compare.sequential import Looks  # noqa: E402

PAGE = ROOT / "docs" / "guides" / "compare.md"
LOOKS = Looks(FIRST, LAST)
RATIOS = (0.3, 1.0, 3.0, 10.0)
"""σ_u / σ_e."""
NOISES = {
    "normal": "normal",
    "heavy": "heavy-tailed (t, 3 degrees of freedom)",
    "skewed": "skewed (exponential, one arm)",
    "collapse": "10 % failed runs (one arm)",
}
STAR = ((0, 1), (0, 2), (0, 3))
ALL_PAIRS = (*STAR, (1, 2), (1, 3), (2, 3))
FAMILIES = {
    "three claims, all differences 0": Setting((0, 0, 0, 0), STAR),
    "three claims, one difference of 3 points": Setting((0, 0, 0, -0.03), STAR),
    "six claims, all differences 0": Setting((0, 0, 0, 0), ALL_PAIRS),
    "six claims, three differences of 3 points": Setting((0.03, 0, 0, 0), ALL_PAIRS),
    "six claims, all differences 0, σ_e = σ_u = 0.2": Setting((0, 0, 0, 0), ALL_PAIRS, 0.002, 0.002),
}
PRECISIONS = ((0.006, 0.006), (0.006, 0.018), (0.002, 0.002), (0.002, 0.006))
"""σ_e and σ_u of the table of power."""
DIFFERENCES = (0.0, 0.005, -0.005, 0.01, 0.02, 0.03)


def percent(share: float) -> str:
    """A share in percent."""
    return f"{100 * share:.1f}"


def rules(setting: Setting, replications: int) -> list[Rates]:
    """The rates of the sequential rule, of three seeds and of twenty."""
    fixed = [simulate(setting, None, replications, seeds) for seeds in (FIRST, LAST)]
    return [simulate(setting, LOOKS, replications), *fixed]


def error_table(replications: int) -> str:
    """Wrong BEATS and LOSES where arms are equal, and wrong TIES where the difference is the margin."""
    rows = []
    for ratio in RATIOS:
        for noise, name in NOISES.items():
            equal = rules(Setting((0, 0), from_seeds=0.006 * ratio, noise=noise), replications)
            of_ties = Setting((0.01, 0), from_examples=0.003 / ratio, from_seeds=0.003, noise=noise)
            wrong = [percent(rates.wrong) for rates in equal]
            rows.append([f"{ratio:g}", name, *wrong, percent(simulate(of_ties, LOOKS, replications).wrong_ties)])
    columns = ["σ_u / σ_e", "noise over seeds", "until=decided", "3 seeds", "20 seeds", "wrong TIES, until=decided"]
    return table(columns, rows)


def family_table(replications: int) -> str:
    """Replications with one or more wrong verdicts among several claims."""
    rows = []
    for name, setting in FAMILIES.items():
        rates = rules(setting, replications)
        wrong = [percent(of_rule.wrong) for of_rule in rates]
        true = sum(setting.means[a] != setting.means[b] for a, b in setting.claims) / len(setting.claims)
        power = percent(rates[0].right / true) if true else "—"
        rows.append(
            [name, *wrong, percent(rates[0].wrong_ties), power, percent(rates[0].ties), f"{rates[0].seeds:.1f}"]
        )
    columns = ["claims", "until=decided", "3 seeds", "20 seeds", "wrong TIES", "power", "TIES", "seeds per arm"]
    return table(columns, rows)


def power_table(replications: int) -> str:
    """Right verdicts and expected seeds by the true difference."""
    rows = []
    for from_examples, from_seeds in PRECISIONS:
        for difference in DIFFERENCES:
            rates = rules(Setting((difference, 0), ((0, 1),), from_examples, from_seeds), replications)
            cells = [f"{percent(of_rule.right)} / {percent(of_rule.ties)}" for of_rule in rates]
            rows.append(
                [
                    f"{100 * from_examples:g}",
                    f"{100 * from_seeds:g}",
                    f"{100 * difference:+g}".replace("+0", "0", 1) if not difference else f"{100 * difference:+g}",
                    *cells,
                    f"{rates[0].seeds:.1f}",
                ]
            )
    columns = ["σ_e", "σ_u", "true difference", "until=decided", "3 seeds", "20 seeds", "seeds, until=decided"]
    return table(columns, rows)


TABLES: dict[str, Callable[[int], str]] = {
    "simulated errors": error_table,
    "simulated families": family_table,
    "simulated power": power_table,
}
"""Block of the page → its table."""


def main() -> None:
    """Print the tables, and write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=4000, help="replications of each setting")
    parser.add_argument("--markdown", action="store_true", help=f"write the tables into {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    for name, build in TABLES.items():
        text = f"{build(options.replications)}\n\n{options.replications} replications per row."
        print(f"{name}\n\n{text}\n", flush=True)
        if options.markdown:
            put(PAGE, name, text)


if __name__ == "__main__":
    main()
