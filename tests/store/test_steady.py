"""Ages do not leap with the machine's clock, in one life of the daemon or between two."""

import time

import pytest

from homie_core.store.steady import OFF, SAVED, Steady


class Clocks:
    """The machine's two clocks."""

    def __init__(self) -> None:
        self.wall, self.boottime = 1.7e9, 100.0

    def go_on(self, seconds: float) -> None:
        self.wall += seconds
        self.boottime += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr(time, "time", lambda: clocks.wall)
    monkeypatch.setattr("homie_core.store.steady.boottime", lambda: clocks.boottime)
    return clocks


@pytest.mark.parametrize("leap", [3600.0, -3600.0, 3e8, -3e8])
def test_a_leap_while_it_runs_counts_nothing(clocks, tmp_path, leap):
    steady = Steady(tmp_path / "clock")
    began = steady.now()
    clocks.wall += leap
    clocks.go_on(5.0)
    assert steady.now() - began == 5.0


@pytest.mark.parametrize(("leap", "counts"), [(60.0, 60.0), (-3600.0, 0.0), (3e8, OFF), (-3e8, 0.0)])
def test_a_leap_while_it_is_off_counts_a_day_at_most(clocks, tmp_path, leap, counts):
    steady = Steady(tmp_path / "clock")
    steady.save()
    left = steady.now()
    clocks.wall += leap
    clocks.boottime = 3.0  # the machine was started anew
    assert Steady(tmp_path / "clock").now() - left == counts


def test_it_goes_on_from_its_last_note_and_writes_one_a_minute(clocks, tmp_path):
    steady = Steady(tmp_path / "clock")
    steady.save()
    noted = (tmp_path / "clock").read_bytes()
    clocks.go_on(SAVED - 1)
    steady.save()
    assert (tmp_path / "clock").read_bytes() == noted
    clocks.go_on(1)
    steady.save()
    assert float((tmp_path / "clock").read_bytes()) == clocks.wall


@pytest.mark.parametrize("damage", [b"", b"x", b"nan", b"inf", b"-1", b"1" * 200])
def test_a_damaged_note_is_as_none(clocks, tmp_path, damage):
    (tmp_path / "clock").write_bytes(damage)
    (tmp_path / "clock").chmod(0o600)
    assert Steady(tmp_path / "clock").now() == clocks.wall


def test_a_note_that_cannot_be_written_stops_nothing(clocks, tmp_path):
    steady = Steady(tmp_path / "clock")
    (tmp_path / "clock").mkdir()
    steady.save()
    assert steady.now() == clocks.wall
