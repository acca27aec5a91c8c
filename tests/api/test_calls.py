"""Functions of a script that run on a peer, in a real sandbox there."""

import asyncio
import os
import threading
import time
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path

import pytest
from pair import Node, Pair, free_port

import homie_core as homie

pytestmark = pytest.mark.docker


def double(x):
    """Twice as much."""
    print("doubling", x)
    return 2 * x


def test_a_function_runs_on_a_peer_and_what_it_prints_is_shown(capsys):
    assert homie.run(double, 21) == 42
    assert homie.run(os.getcwd) != str(Path.cwd())
    assert capsys.readouterr().out == "doubling 21\n"


def test_peers_are_those_of_homie_peers():
    assert [(peer.name, peer.standing.value) for peer in homie.peers()] == [("desk", "online")]


def test_a_decorated_function_is_one_of_a_peer_and_still_one_of_here(capsys):
    there = homie.remote(ram="256m")(double)
    assert (there.__name__, there.__doc__) == ("double", "Twice as much.")
    assert there(x=3) == 6
    assert there.local(4) == 8
    job = there.submit(5)
    assert (job.result(), job.status, job.peer, job.exception()) == (10, "done", "desk", None)
    # what is not waited for is not mixed into what is printed here
    assert capsys.readouterr().out == "doubling 3\ndoubling 4\n"
    assert "".join(job.stream()) == "doubling 5\n"


def test_a_remote_function_may_call_another():
    inner = homie.remote(lambda x: x + 1)
    assert homie.run(lambda: inner(1)) == 2


def test_calls_share_a_warm_session_but_not_at_once():
    first, second = homie.run(os.getpid), homie.run(os.getpid)
    assert first == second
    sleeping = homie.submit(time.sleep, 1000)
    assert homie.run(abs, -1) == 1
    assert sleeping.status == "running"
    sleeping.cancel()


def test_a_job_is_awaited_and_heard_as_it_runs():
    def counts():
        for number in range(3):
            print(number, flush=True)
        return "end"

    async def hear():
        job = homie.submit(counts)
        return "".join([text async for text in job.stream()]), await job

    assert asyncio.run(hear()) == ("0\n1\n2\n", "end")


def test_an_error_there_is_an_error_here_with_its_traceback():
    def fails():
        print("before")
        return [1][2]

    with pytest.raises(homie.RemoteError) as caught:
        homie.run(fails)
    error = caught.value
    assert (error.ename, error.evalue, error.peer) == ("IndexError", "list index out of range", "desk")
    assert str(error).startswith("IndexError: list index out of range (on desk)\n")
    assert "in fails()" in error.traceback.replace(
        "test_an_error_there_is_an_error_here_with_its_traceback.<locals>.", ""
    )
    assert "_homie" not in error.traceback


def test_what_a_hostile_error_says_does_no_harm_to_a_terminal():
    def fails():
        raise ValueError("\x1b]0;title\x07" + 10**6 * "x")

    job = homie.submit(fails)
    text = str(job.exception())
    assert "\x1b" not in text
    assert len(text) < 200_000


def test_an_argument_that_cannot_travel_is_named():
    with pytest.raises(homie.HomieError, match=r"argument 2 of double.*lock.*cannot be sent"):
        homie.run(double, 1, threading.Lock())
    with pytest.raises(homie.HomieError, match="argument x of double"):
        homie.remote(double)(x=threading.Lock())
    lock = threading.Lock()
    with pytest.raises(homie.HomieError, match=r"`uses_it`.*cannot be sent"):
        homie.run(_named("uses_it", lambda: lock))


def _named(name, function):
    function.__name__ = name
    return function


def test_a_value_that_is_no_data_does_not_come_and_it_is_said_what_allows_it():
    with pytest.raises(homie.HomieError, match=r"`double\(\.\.\.\)`.*homie trust desk"):
        homie.run(_named("double", lambda: threading.Thread))


def test_an_argument_larger_than_a_session_may_be_is_refused():
    with pytest.raises(
        homie.HomieError, match="more memory than the 512 MB it was lent on desk; ask for more with ram="
    ):
        homie.run(len, bytes(700 << 20))


def test_a_call_is_cancelled_and_the_next_one_runs():
    job = homie.submit(time.sleep, 100)
    _wait_until(lambda: job.status == "running")
    assert job.cancel()
    with pytest.raises(CancelledError):
        job.result(20)
    assert (job.status, job.cancel()) == ("cancelled", False)
    assert homie.run(abs, -1) == 1


def test_a_call_that_does_not_mind_is_killed():
    def stubborn():
        while True:
            with suppress(KeyboardInterrupt):
                time.sleep(100)

    job = homie.submit(stubborn)
    _wait_until(lambda: job.status == "running")
    job.cancel()
    with pytest.raises(CancelledError):
        job.result(30)
    assert homie.run(abs, -1) == 1


def test_a_call_that_takes_too_long_is_ended():
    with pytest.raises(homie.RemoteError) as caught:
        homie.run(time.sleep, 100, timeout=0.5)
    assert str(caught.value).startswith(
        "KeyboardInterrupt: it ran longer than 0.5 s, so it is interrupted (on desk)"
    )


def test_without_a_suitable_peer_it_is_an_error_and_nothing_runs_here(capsys):
    ran = []
    with pytest.raises(homie.HomieError, match="no peer is called nobody"):
        homie.run(ran.append, 1, node="nobody")
    with pytest.raises(homie.HomieError, match=r"lends a job at most 0\.5 cores"):
        homie.remote(cpus=64)(ran.append)(1)
    with pytest.raises(homie.HomieError, match="has no GPU"):
        list(homie.map(ran.append, [1], gpu=True, cpus=0.5, ram="256m"))
    assert ran == []


def test_only_where_it_was_asked_for_a_function_runs_here_and_that_is_announced(capsys):
    here = homie.remote(node="nobody", or_local=True)(os.getpid)
    assert here() == os.getpid()
    assert capsys.readouterr().err.startswith("homie: getpid runs on this machine, as or_local allows: no peer is")


def test_a_function_that_fails_there_is_not_tried_here():
    ran = []

    def fails():
        ran.append(1)
        raise KeyError("no")

    with pytest.raises(homie.RemoteError):
        homie.remote(or_local=True)(fails)()
    assert ran == []


def test_with_another_secret_nobody_is_there(pair: Pair, tmp_path, monkeypatch):
    stranger = Node("stranger", tmp_path)
    stranger.homie("setup", "--name", "stranger", "--new-group", "--yes")
    for key in ("listen", "discovery_port"):
        stranger.homie("config", "set", key, pair.laptop.homie("config", "get", key).stdout.strip())
    stranger.homie("config", "set", "worker_port", str(free_port(1)))
    monkeypatch.setenv("HOMIE_HOME", str(stranger.home))
    try:
        with pytest.raises(homie.HomieError, match=r"no peer is here yet.*the same group secret"):
            homie.run(abs, -1, cpus=0.25)
    finally:
        stranger.end()


def test_an_option_that_there_is_not_is_named():
    with pytest.raises(TypeError, match="no option 'gpus'; there are: node, gpu, "):
        homie.run(abs, -1, gpus=1)
    with pytest.raises(ValueError, match="ram: 'lots' is no size"):
        homie.run(abs, -1, ram="lots")


def _wait_until(true, seconds=20.0):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)
