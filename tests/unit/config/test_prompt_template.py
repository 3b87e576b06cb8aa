"""Templates of prompts."""

import pytest

from kdrun.config.prompt_template import PromptTemplate, default_template
from kdrun.config.task import TaskConfig


def test_braces_in_texts_are_text() -> None:
    template = PromptTemplate("{text_pair}|{text} answer:")
    assert template.fill(["a {text_pair}", "b"]) == "b|a {text_pair} answer:"
    assert template.tail == " answer:"


@pytest.mark.parametrize(
    ("text", "num_texts", "words"),
    [
        ("{text}:", 1, []),
        ("{text_pair} {text}", 2, []),
        ("none", 1, ["{text} once", "no placeholder"]),
        ("{text} {text}", 1, ["{text} once", "{text}, {text}"]),
        ("{text} {other}", 2, ["{text} and {text_pair} once", "{other}, {text}"]),
    ],
)
def test_placeholders_fit_the_texts_of_a_row(text: str, num_texts: int, words: list[str]) -> None:
    problem = PromptTemplate(text).problem(num_texts)
    assert bool(problem) == bool(words)
    assert all(word in problem for word in words)


def test_the_default_has_a_line_per_prompt() -> None:
    pair = TaskConfig(name="a", text=["premise", "hypothesis"], prompts=["premise:", "hypothesis:"])
    template = default_template(pair)
    assert template == PromptTemplate("premise: {text}\nhypothesis: {text_pair}\nanswer:")
    assert template is not None
    assert template.problem(2) == ""
    assert default_template(TaskConfig(name="a", text=["premise", "hypothesis"], prompts=["premise:"])) is None
    assert default_template(TaskConfig(name="a", text=["premise"])) is None
