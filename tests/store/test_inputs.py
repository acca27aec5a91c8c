"""What a session was told, as one daemon writes it and the next one reads it."""

import errno
import os
from pathlib import Path

import pytest

from homie_core.model.errors import CannotWrite
from homie_core.model.job import FileRef
from homie_core.model.session import Input, Place, Say
from homie_core.store.inputs import LARGE, Inputs

ORIGIN = "a" * 16


def say(inputs, number, data=b"x"):
    what = Say(data=data)
    inputs.append(what, Input(origin=ORIGIN, number=number, what=what))


def numbers(inputs, after=0):
    found = []
    while kept := inputs.next(after):
        after = kept.number
        found.append(after)
    return found


def test_inputs_are_there_again_in_order(tmp_path):
    inputs = Inputs(tmp_path / "inputs")
    for number in (1, 2):
        say(inputs, number, b"%d" % number)
    file = FileRef(name="a", digest="0" * 64, size=1)
    assert inputs.append(Place(files=(file,))) == 3
    again = Inputs(tmp_path / "inputs")
    assert (again.last, again.taken, again.placed) == (3, {ORIGIN: 2}, {"a": "0" * 64})
    assert numbers(again) == [1, 2, 3]
    assert again.next(1).what == Say(data=b"2")
    assert numbers(again, after=2) == [3]


def test_one_that_was_cut_was_never_taken(tmp_path):
    inputs = Inputs(tmp_path / "inputs")
    say(inputs, 1)
    whole = (tmp_path / "inputs").stat().st_size
    say(inputs, 2)
    with (tmp_path / "inputs").open("r+b") as file:
        file.truncate(whole + 7)
    again = Inputs(tmp_path / "inputs")
    assert (again.last, again.taken) == (1, {ORIGIN: 1})
    say(again, 2)
    assert numbers(Inputs(tmp_path / "inputs")) == [1, 2]


def test_what_has_been_heard_is_dropped_and_stays_known(tmp_path):
    inputs = Inputs(tmp_path / "inputs")
    for number in range(1, 12):
        say(inputs, number, b"x" * (LARGE // 4))
    inputs.heard(3)
    assert numbers(inputs) == list(range(4, 12))
    inputs.heard(10)
    assert (tmp_path / "inputs").stat().st_size < LARGE
    say(inputs, 12)
    again = Inputs(tmp_path / "inputs")
    assert (again.last, again.taken, numbers(again)) == (12, {ORIGIN: 12}, [11, 12])
    again.heard(12)
    assert numbers(again) == []


def test_on_a_full_disk_nothing_is_taken_and_nothing_lost(tmp_path, monkeypatch):
    inputs, write = Inputs(tmp_path / "inputs"), os.pwrite
    say(inputs, 1, b"one")

    def half(file, data, at):
        if len(data) > 50:
            return write(file, data[:50], at)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", half)
        with pytest.raises(CannotWrite, match="inputs is full; make room there"):
            say(inputs, 2, b"x" * 100)
    assert (inputs.last, inputs.taken) == (1, {ORIGIN: 1})
    say(inputs, 2, b"two")
    again = Inputs(tmp_path / "inputs")
    assert [again.next(number).what for number in (0, 1)] == [Say(data=b"one"), Say(data=b"two")]


def test_what_was_heard_is_dropped_later_when_the_disk_is_full(tmp_path, monkeypatch):
    inputs = Inputs(tmp_path / "inputs")
    for number in range(1, 5):
        say(inputs, number, b"x" * (LARGE // 2))

    def full(path, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        inputs.heard(3)
    assert numbers(inputs, after=3) == [4]
    say(inputs, 5)
    inputs.heard(4)
    assert (tmp_path / "inputs").stat().st_size < 1000
    assert numbers(inputs, after=4) == [5]
