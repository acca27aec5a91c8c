"""Many items on all peers that have room, in real sandboxes."""

import asyncio
import json
import re
import threading
import time
from concurrent.futures import CancelledError

import pytest
from pair import Node, Pair

import homie_core as homie

pytestmark = pytest.mark.docker
SMALL = {"cpus": 0.5, "ram": "256m"}


def test_values_come_in_the_order_of_the_items():
    assert list(homie.map(lambda x: x * x, range(300), **SMALL)) == [x * x for x in range(300)]
    assert list(homie.map(abs, iter([]), **SMALL)) == []


def test_or_as_they_are_ready():
    def slow_first(x):
        import time

        time.sleep(0 if x else 2)
        return x

    assert list(homie.map(slow_first, range(4), ordered=False, **SMALL))[-1] == 0


def test_all_peers_take_part(shelf: Node, capsys):
    def works(x):
        import time

        print(x)
        time.sleep(0.5)

    list(homie.map(works, range(16), **SMALL))
    assert {line.split(":")[0] for line in capsys.readouterr().out.splitlines()} == {"desk", "shelf"}


def test_an_error_names_item_and_peer_and_shows_the_traceback_there():
    def inverse(x):
        return 1 / x

    with pytest.raises(homie.RemoteError) as caught:
        list(homie.map(inverse, [4, 2, 0, 1], node="desk", **SMALL))
    error = caught.value
    assert (error.ename, error.item, error.peer) == ("ZeroDivisionError", "item 2 (0)", "desk")
    assert str(error).startswith("ZeroDivisionError: division by zero (on desk, for item 2 (0))\n")
    assert "inverse" in error.traceback


def test_errors_may_come_in_the_place_of_values():
    def picky(x):
        if x == 1:
            raise KeyError(x)
        if x == 2:
            raise SystemExit("no")
        return threading.Lock() if x == 3 else x

    values = list(homie.map(picky, range(5), node="desk", return_exceptions=True, **SMALL))
    assert (values[0], values[4]) == (0, 4)
    assert [getattr(each, "ename", None) for each in values[1:3]] == ["KeyError", "SystemExit"]
    assert str(values[3]).startswith("`item 3`")
    assert "cannot come from desk" in str(values[3])


def test_an_item_that_cannot_travel_is_an_error_of_its_own():
    values = list(homie.map(type, [1, threading.Lock()], return_exceptions=True, **SMALL))
    assert "item 1 (<unlocked _thread.lock" in str(values[1])
    with pytest.raises(homie.HomieError, match="cannot be sent"):
        homie.map(threading.Lock().acquire, [1], **SMALL)


def test_large_items_go_there_and_back():
    sizes = [3 << 20, 1, 4 << 20]
    values = list(homie.map(lambda x: x[::-1], [bytes([7]) * size for size in sizes], **SMALL))
    assert [len(value) for value in values] == sizes


def test_progress_is_told_and_an_error_in_it_stops_nothing(capsys):
    told = []
    list(homie.map(abs, range(20), progress=lambda done, total: told.append((done, total)), **SMALL))
    assert told[-1] == (20, 20)
    assert told == sorted(told)

    def fails(done, total):
        raise ValueError("no bar")

    assert list(homie.map(abs, range(20), progress=fails, **SMALL)) == list(range(20))
    assert capsys.readouterr().err.count("no bar") == 1


def test_what_is_printed_names_its_peer(capsys):
    def says(x):
        print("item", x)

    list(homie.map(says, range(2), node="desk", **SMALL))
    assert sorted(capsys.readouterr().out.splitlines()) == ["desk: item 0", "desk: item 1"]


def test_workers_stay_warm_between_maps(pair: Pair):
    def jobs():
        return {job["id"] for job in json.loads(pair.laptop.homie("jobs", "--json").stdout)}

    list(homie.map(abs, [1], **SMALL))
    before = jobs()
    assert list(homie.map(abs, [2], **SMALL)) == [2]
    assert jobs() == before


def test_the_end_of_the_loop_ends_the_rest():
    def slow(x):
        import time

        time.sleep(0 if x == 0 else 1000)
        return x

    began = time.monotonic()
    for value in homie.map(slow, range(100), **SMALL):
        assert value == 0
        break
    assert homie.run(abs, -1, **SMALL) == 1
    assert time.monotonic() - began < 100


def test_cancelled_it_is_over():
    job = homie.map(time.sleep, [1000] * 5, return_exceptions=True, **SMALL)
    job.cancel()
    assert all(isinstance(value, CancelledError) for value in job)


def test_it_is_awaited_item_by_item():
    async def collect(**how):
        return [value async for value in homie.map(abs, range(20), **how, **SMALL)]

    assert asyncio.run(collect()) == list(range(20))
    assert sorted(asyncio.run(collect(ordered=False))) == list(range(20))


def test_a_worker_that_dies_takes_only_what_it_had_begun():
    def eats(x):
        import time

        time.sleep(0.3)
        return len(bytearray(1 << 30)) if x == 1 else x

    values = list(homie.map(eats, range(6), return_exceptions=True, **SMALL))
    assert [value for value in values if isinstance(value, int)] == [0, 2, 3, 4, 5], values
    assert re.match(
        r"item 1 \(1\) on (desk|shelf): stopped: it needed more memory than the 256 MB", str(values[1])
    )


def test_when_nothing_but_deaths_comes_the_rest_is_given_up():
    def dies(x):
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    values = list(homie.map(dies, range(40), return_exceptions=True, **SMALL))
    assert all(isinstance(value, homie.HomieError) for value in values)


def test_a_peer_that_ends_midway_is_told_by_its_items(pair: Pair):
    node = pair.join("attic", container_cpu_limit="0.5", container_memory_limit="512m")
    job = homie.map(time.sleep, [1000] * 2, node="attic", return_exceptions=True, **SMALL)
    node.homie("down")
    values = list(job)
    assert all("attic" in str(value) for value in values), values


def test_a_function_that_cannot_be_made_there_says_so_for_each_item(tmp_path, monkeypatch):
    site = tmp_path / "site-packages"
    site.mkdir()
    (site / "only_here.py").write_text("def f(x): return x")
    monkeypatch.syspath_prepend(str(site))
    import only_here

    values = list(homie.map(only_here.f, range(3), return_exceptions=True, **SMALL))
    assert all("No module named 'only_here'" in str(value) for value in values)
