"""Samples of generated text: changed words, stored rows, printed rows."""

import pytest

from kdrun.runs import text_samples


def decode(ids: list[int]) -> str:
    """A WordPiece-like decoder: pieces above 100 join the word before."""
    words = {1: "the", 2: "ball", 3: "red", 103: "oon", 104: "s"}
    return "".join((words[i] if i > 100 else f" {words[i]}") for i in ids).strip()


@pytest.mark.parametrize(
    ("ids", "changed", "text", "words"),
    [
        ([1, 3, 2], [False, True, False], "the red ball", [1]),
        ([1, 2, 103, 104, 3], [False, False, True, False, False], "the balloons red", [1]),
        ([1, 2, 103, 3], [True, True, True, False], "the balloon red", [0, 1]),
        ([1, 3], [False, False], "the red", []),
    ],
)
def test_words_with_a_changed_token(ids: list[int], changed: list[bool], text: str, words: list[int]) -> None:
    assert text_samples.changed_words(decode, ids, changed) == (text, words)


class Tokenizer:
    all_special_ids, unk_token_id = [7, 8, 9], 9

    @staticmethod
    def decode(ids: list[int]) -> str:
        return " ".join({1: "the", 2: "ball", 3: "red", 9: "[UNK]"}[i] for i in ids)


def test_a_pair_is_shown_without_special_tokens() -> None:
    text = text_samples.decode_row(Tokenizer, [7, 1, 9, 8, 3, 2, 8], [False, False, False, False, True, False, False])
    assert text == ("the [UNK] | red ball", [3])


def test_samples_with_a_changed_teacher_prediction_come_first() -> None:
    def sample(text: str, after: float) -> text_samples.Sample:
        before, then = {"no": 0.9, "yes": 0.1}, {"no": 1 - after, "yes": after}
        roles = {role: {"before": before, "after": then} for role in ("teacher", "student")}
        return {"step": 5, "original": "a film", "text": text, "changed": [1], **roles}

    lines = text_samples.format_samples([sample("a dull film", 0.2), sample("a great film", 0.8)])
    assert "a *great* film" in lines[1]
    assert "teacher no 0.90 -> yes 0.80" in lines[2]
    assert text_samples.format_samples([]) == []
