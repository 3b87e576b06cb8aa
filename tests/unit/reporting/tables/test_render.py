"""Rendering of tables."""

import pytest

from kdrun.reporting.tables.render import Format, TextTable, print_table, render

SHEET = TextTable(
    "Percent",
    ["method", "a|b"],
    [["kd_x [lr=1]", "80.0 ± 1.0 (2)"], ["finetune", "n/a"]],
    [{"method": "kd, x", "mean": 80.0}, {"method": "finetune", "mean": "", "reason": "none"}],
    ["A note, 5 %."],
    left=(0,),
    best={(0, 1)},
)


def test_markdown() -> None:
    assert render(SHEET, Format.markdown).splitlines() == [
        "Percent", "", "| method | a\\|b |", "|---|---:|", "| kd_x [lr=1] | **80.0 ± 1.0 (2)** |", "| finetune | n/a |",
        "", "- A note, 5 %.",
    ]  # fmt: skip


def test_csv_has_values_and_empty_fields() -> None:
    assert render(SHEET, Format.csv).splitlines() == ["method,mean,reason", '"kd, x",80.0,', "finetune,,none"]


def test_latex_escapes() -> None:
    lines = render(SHEET, Format.latex).splitlines()
    assert lines[:4] == ["% Percent", r"% \usepackage{booktabs}", r"\begin{tabular}{lr}", r"\toprule"]
    assert r"kd\_x {[}lr=1{]} & \textbf{80.0 $\pm$ 1.0 (2)} \\" in lines
    assert lines[-3:] == [r"\bottomrule", r"\end{tabular}", "% A note, 5 %."]
    assert r"\midrule" in lines


def test_a_wide_table_is_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(
        TextTable("t", ["name", "value"], [["x" * 300, "[red]0.5[/red]"], ["y", "1"]], left=(0,), best={(1, 1)})
    )
    out = capsys.readouterr().out
    assert "x" * 300 in out
    assert "[red]0.5[/red]" in out
    assert "1 *" in out
