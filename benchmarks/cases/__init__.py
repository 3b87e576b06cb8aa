"""Cases of scripts/bench.py: each measures steps of kdrun and of a reference."""

from benchmarks.cases import adversarial, deployment, distillation, passes, plain, writing
from benchmarks.cases.base import Case

CASES: list[Case] = [
    *plain.CASES,
    *adversarial.CASES,
    *distillation.CASES,
    *writing.CASES,
    *passes.CASES,
    *deployment.CASES,
]
