"""What a session was told, as one daemon writes it and the next one reads it."""

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
