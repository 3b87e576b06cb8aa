"""Numbers, percentages, durations and counts for people."""

from kdrun import formatting


def test_scores_and_differences() -> None:
    assert formatting.number(0.89123) == "0.8912"
    assert formatting.number(12.6, 0) == "13"
    assert formatting.signed(-0.01234) == "\N{MINUS SIGN}0.0123"
    assert formatting.signed(-1.25, 1, minus="-") == "-1.2"
    assert formatting.percent(0.8814) == "88.1 %"
    assert formatting.percent(0.8814, 2, unit="") == "88.14"
    assert formatting.mean_sd(0.8, 0.01) == "0.8000 ± 0.0100"
    assert formatting.mean_sd(0.8, None, 1, scale=100) == "80.0"


def test_absent_values() -> None:
    functions = (formatting.number, formatting.signed, formatting.percent, formatting.count, formatting.duration)
    assert [*(f(None) for f in functions), formatting.param_count(None), formatting.mean_sd(None, None)] == ["n/a"] * 7
    assert formatting.with_reason("n/a", "no teacher") == "n/a (no teacher)"
    assert formatting.with_reason("0.5", "no teacher") == "0.5"


def test_counts_and_sizes() -> None:
    assert formatting.count(8551) == "8\N{NARROW NO-BREAK SPACE}551"
    assert [formatting.param_count(n) for n in (22_700_000, 133_000)] == ["22.7 M", "133 k"]
    assert [formatting.num_bytes(n) for n in (10, 5 * 2**20, 3 * 2**29)] == ["1 MiB", "5 MiB", "1.5 GiB"]
    assert [formatting.plural(n, "seed") for n in (0, 1, 2)] == ["0 seeds", "1 seed", "2 seeds"]


def test_sizes_are_parsed() -> None:
    texts = ["4096", "20GB", "1.5 GiB", "2mb", "3 KiB", "1T", "GB", "-1", "much"]
    sizes = [4096, 20 * 10**9, 3 * 2**29, 2 * 10**6, 3 * 2**10, None, None, None, None]
    assert [formatting.parse_bytes(text) for text in texts] == sizes


def test_durations() -> None:
    seconds = (0.42, 91, 725, 12_000)
    assert [formatting.duration(s) for s in seconds] == ["0.4 s", "91 s", "12 min 5 s", "3 h 20 min"]


def test_words() -> None:
    assert [formatting.join_words(["a", "b", "c"][:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    assert formatting.shorten("abcdef", 4) == "abcd … (2 more characters)"
