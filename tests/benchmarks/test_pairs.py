"""The arithmetic and the order of the benchmarks."""

from collections.abc import Callable

import pytest

from benchmarks.pairs import Comparison, Skipped, compare, megabytes_per_second, milliseconds, spread, table


def recorder(values: list[float], who: str, log: list[str]) -> Callable[[], float]:
    answers = iter(values)

    def measure() -> float:
        log.append(who)
        return next(answers)

    return measure


def test_both_sides_take_turns_and_the_warm_up_does_not_count() -> None:
    log: list[str] = []
    ours = recorder([99, 20, 30, 60], "o", log)
    theirs = recorder([1, 10, 10, 10], "t", log)
    result = compare("it", ours, theirs, 3, beside="that")
    assert "".join(log) == "ot" + "to" + "ot" + "to"
    assert result == Comparison("it", "that", "ms", (20, 30, 60), (10, 10, 10))
    assert result.ratios == (2, 3, 6)
    assert result.as_json()["ratio"] == 3


def test_a_ratio_is_of_neighbours_not_of_medians() -> None:
    slow_then_fast = Comparison("it", "that", "ms", (100, 10, 10), (100, 10, 5))
    assert slow_then_fast.ratios == (1, 1, 2)


def test_nothing_measured_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least once"):
        compare("it", float, float, 0, beside="that")


def test_units(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1.0, 1.5, 2.0, 4.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert milliseconds(lambda: None)() == 500
    assert megabytes_per_second(500_000_000, lambda: None)() == 250


def test_the_table_shows_median_and_range() -> None:
    results = [
        Comparison("a job", "docker run", "ms", (143.2, 220, 130), (71.6, 110, 65)),
        Skipped("files", "no sshd"),
    ]
    assert table(results).splitlines() == [
        "       unit  homie          beside                       ratio",
        "a job  ms    143 (130-220)  71.6 (65.0-110)  docker run  2.00 (2.00-2.00)",
        "not measured: files: no sshd",
    ]
    assert table([Skipped("files", "no sshd")]) == "not measured: files: no sshd"
    assert spread([0.5]) == "0.50 (0.50-0.50)"
