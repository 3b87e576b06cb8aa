"""Settings without effect are refused, with what decides instead."""

import pytest

from kdrun.cli import main
from kdrun.config import compose
from kdrun.config.optim import OptimConfig, OptimizerConfig
from kdrun.errors import Problem
from kdrun.methods.shared.alternating import AlternatingSettings
from kdrun.storage.key_aliases import REMOVED_METHOD_KEYS


def problems(*overrides: str) -> list[Problem]:
    return compose.validate_overrides(list(overrides), multirun=False)


DEAD = [(method, key) for method, keys in REMOVED_METHOD_KEYS.items() for key in keys]


@pytest.mark.parametrize(("method", "key"), DEAD)
@pytest.mark.parametrize("plus", ["", "+"])
def test_a_generator_has_no_budget_of_its_own(method: str, key: str, plus: str) -> None:
    (problem,) = problems(f"method={method}", f"{plus}{key}=7")
    assert (problem.key, problem.value) == (key, "7")
    assert "method.generator_steps_per_cycle" in problem


@pytest.mark.parametrize("method", sorted(REMOVED_METHOD_KEYS))
def test_the_method_card_does_not_offer_it(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["explain", f"method={method}"]) == 0
    card = capsys.readouterr().out
    assert "method.generator_optim.lr = " in card
    assert not [key for key in REMOVED_METHOD_KEYS[method] if key in card]


def test_only_sections_with_a_budget_have_its_settings() -> None:
    generator = AlternatingSettings().generator_optim
    assert type(generator) is OptimizerConfig
    assert set(vars(OptimConfig())) - set(vars(generator)) == {
        "epochs", "steps", "batch_size", "gradient_accumulation_steps", "patience",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("choice", "key", "value"),
    [
        ("method=dfkd_t3", "method.min_tokens", "8"),
        ("method.mode=decode", "method.mean_span", "2.0"),
        ("method.mode=decode", "method.mask_rate", "0.2"),
        ("method.specificity=cross_entropy", "method.log_odds_margin", "3.0"),
        ("method.gradient=score", "method.gumbel_temperature", "1.0"),
        ("method.gradient=score", "method.gumbel_temperature_end", "1.0"),
        ("method.gradient=soft", "method.baseline_momentum", "0.5"),
        ("method=zskd", "method.warm_start_lr", "0.1"),
        ("optim=sgd", "optim.beta2", "0.9"),
        ("optim=sgd", "optim.eps", "0.1"),
        ("teacher.finetune_optim.name=sgd", "teacher.finetune_optim.beta2", "0.9"),
    ],
)
def test_a_setting_that_another_excludes(choice: str, key: str, value: str) -> None:
    method = [] if choice.startswith("method=") or not key.startswith("method.") else ["method=dfkd_t3"]
    (problem,) = problems(*method, choice, f"{key}={value}")
    assert problem.key == key
    assert f"{key}={value} has no effect" in problem
    assert problems(*method, choice) == []


@pytest.mark.parametrize(
    ("preset", "key", "winner"),
    [
        (["preset=embedded"], "optim.epochs", "optim.steps"),
        (["preset=smoke"], "teacher.finetune_optim.epochs", "teacher.finetune_optim.steps"),
        (["preset=paper", "method=mate_kd"], "optim.warmup_ratio", "optim.warmup_steps"),
    ],
)
def test_a_setting_that_a_preset_overrules(preset: list[str], key: str, winner: str) -> None:
    (problem,) = problems(*preset, f"{key}=0.5")
    assert (problem.key, problem.value) == (key, 0.5)
    assert f"{winner}=null" in problem
    assert problems(*preset, f"{key}=0.5", f"{winner}=null") == []
    assert problems(*preset, f"{key}=0.5", f"{winner}=3") == []


@pytest.mark.parametrize("key", ["optim", "teacher.finetune_optim", "method.generator_optim"])
@pytest.mark.parametrize("name", ["name", "schedule"])
def test_every_optimizer_and_schedule_is_looked_up(key: str, name: str) -> None:
    (problem,) = problems("method=mate_kd", f"{key}.{name}=lineer")
    assert (problem.key, problem.value) == (f"{key}.{name}", "lineer")
