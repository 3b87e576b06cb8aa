"""What scripts/bench.py measures: each case takes steps as kdrun does and as its reference does."""

from bench_cases import adversarial, distillation, passes, plain, writing
from bench_cases.base import SCALE, Case, Scale, Side

__all__ = ["CASES", "SCALE", "Case", "Scale", "Side"]

CASES: list[Case] = [*plain.CASES, *adversarial.CASES, *distillation.CASES, *writing.CASES, *passes.CASES]
