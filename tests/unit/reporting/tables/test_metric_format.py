"""Units and decimals of scores by metric."""

from kdrun.reporting.tables import metric_format


def test_shares_are_percentages_and_divergences_are_nats() -> None:
    assert metric_format.score("accuracy", 0.8812) == "88.1 %"
    assert metric_format.score("teacher_kl", 0.03125) == "0.0312 nats"
    assert metric_format.score("teacher_kl", 0.03125, unit=False) == "0.0312"
    assert metric_format.score("teacher_kl", None) == metric_format.score("accuracy", None) == "n/a"
    assert metric_format.score_sd("accuracy", 0.88, 0.004) == "88.0 ± 0.4 %"
    assert metric_format.score_sd("teacher_kl", 0.05, 0.004) == "0.0500 ± 0.0040 nats"
    assert metric_format.difference("accuracy", -0.012, minus="-") == "-1.2"
    assert metric_format.difference("teacher_kl", -0.012, minus="-") == "-0.0120"
    assert metric_format.margin("accuracy", 0.01) == "± 1 points"
    assert metric_format.margin("teacher_kl", 0.01) == "± 0.01 nats"


def test_small_divergences_keep_two_digits() -> None:
    assert metric_format.difference("teacher_kl", -0.0000345, minus="-") == "-0.000034"
    assert metric_format.score("teacher_kl", 0.0) == "0.0000 nats"
