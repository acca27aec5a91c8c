"""The comparison of two runs finds what differs, and nothing else."""

import copy
import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output
from notebook_runs import FOOTER, difference

ONE, OTHER = "0" * 31 + "1", "0" * 31 + "2"


def ran(*outputs, widgets=None, **notes):
    cell = new_code_cell("pass", outputs=list(outputs))
    cell.metadata.update({"asked": [], "comms": [], "payload": [], "reply": "ok"} | notes)
    return nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": widgets or {}})


def display(text="shown", metadata=None, **data):
    return new_output("display_data", {"text/plain": text} | data, metadata=metadata or {})


def result(text="shown", count=1):
    return new_output("execute_result", {"text/plain": text}, execution_count=count)


def stream(text, name="stdout"):
    return new_output("stream", text=text, name=name)


def error(*traceback, evalue="why"):
    return new_output("error", ename="Wrong", evalue=evalue, traceback=list(traceback))


DIFFERENT = {
    "a letter": ([stream("text")], [stream("test")]),
    "a missing end of line": ([stream("text\n")], [stream("text")]),
    "the other stream": ([stream("text")], [stream("text", "stderr")]),
    "a missing output": ([display(), display()], [display()]),
    "another order of outputs": ([display("1"), display("2")], [display("2"), display("1")]),
    "a stream on the other side of a display": ([stream("1"), display()], [display(), stream("1")]),
    "a result that became a display": ([result()], [display()]),
    "another picture": ([display(**{"image/png": "AAAA"})], [display(**{"image/png": "AAAB"})]),
    "a lost kind": ([display(**{"text/html": "<b>"})], [display()]),
    "metadata": ([display(metadata={"width": 1})], [display(metadata={"width": 2})]),
    "the line of an error": ([error("----> 1 x")], [error("----> 2 x")]),
    "a lost line of a traceback": ([error("a", "b")], [error("a")]),
    "a colour": ([error("\x1b[31mred")], [error("red")]),
    "the text of an error": ([error(evalue="this")], [error(evalue="that")]),
    "one object that became two": ([display(ONE), display(ONE)], [display(ONE), display(OTHER)]),
    "a time outside of %time": ([stream("took 1.5 s")], [stream("took 1.6 s")]),
}

SAME = {
    "pieces of a stream": ([stream("a"), stream("b")], [stream("ab")]),
    "stdout and stderr in between": (
        [stream("a"), stream("e", "stderr"), stream("b")],
        [stream("e", "stderr"), stream("ab")],
    ),
    "ids": ([display(ONE), display(f"IPY_MODEL_{ONE}")], [display(OTHER), display(f"IPY_MODEL_{OTHER}")]),
    "addresses": ([result("<at 0x7f0000000001>")], [result("<at 0x7f0000000002>")]),
    "numbers of cells": (
        [error("Cell In[1], line 2"), result(count=1)],
        [error("Cell In[7], line 2"), result(count=3)],
    ),
    "files of cells": ([stream("/tmp/ipykernel_1/2.py:1: W")], [stream("/var/x/ipykernel_3/4.py:1: W")]),
    "where packages are": ([error("File /a/b/site-packages/c.py:1")], [error("File /d/site-packages/c.py:1")]),
    "what %time says": ([stream("Wall time: 1 s\n")], [stream("Wall time: 2 ms\n")]),
    "what %timeit says": ([stream("1 ns ± 2 ns per loop (mean)")], [stream("3 s ± 4 ms per loop (mean)")]),
    "a footer": ([stream("a"), stream("b")], [stream("a"), display(metadata={FOOTER: {}}), stream("b")]),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_a_planted_difference_is_found(what):
    one, other = (ran(*outputs) for outputs in DIFFERENT[what])
    assert difference(one, other)
    assert not difference(one, copy.deepcopy(one))


@pytest.mark.parametrize("what", SAME)
def test_what_cannot_be_the_same_twice_is_no_difference(what):
    one, other = (ran(*outputs) for outputs in SAME[what])
    assert difference(one, other) == ""


@pytest.mark.parametrize(
    "notes",
    [
        {"asked": [["Who? ", False]]},
        {"comms": [["comm_open", ONE, {}]]},
        {"payload": [{"source": "set_next_input", "text": "x"}]},
        {"reply": "error"},
        {"widgets": {"state": {ONE: {"value": 1}}}},
    ],
    ids=lambda notes: next(iter(notes)),
)
def test_what_is_no_output_is_compared_too(notes):
    assert difference(ran(), ran(**notes))


def test_a_large_output_is_compared_quickly_and_shown_shortly():
    one, other = ran(stream("x" * 3_000_000)), ran(stream("x" * 3_000_001))
    assert json.dumps(difference(one, other))
