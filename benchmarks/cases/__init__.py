"""What scripts/bench.py measures: each case takes steps as kdrun does and as its reference does."""

from benchmarks.cases import adversarial, distillation, passes, plain, writing
from benchmarks.cases.base import Case

CASES: list[Case] = [*plain.CASES, *adversarial.CASES, *distillation.CASES, *writing.CASES, *passes.CASES]
