"""A session that a script holds, in a real sandbox on another node."""

import asyncio
import time
from concurrent.futures import CancelledError
from pathlib import Path

import pytest
from pair import Pair

import homie_core as homie

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def module_env(pair: Pair):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOMIE_HOME", str(pair.laptop.home))
        yield


@pytest.fixture(scope="module")
def session(module_env, tmp_path_factory):
    """One session for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("script"))
        with homie.Session("work") as session:
            yield session


def test_it_remembers_what_ran_before(session, capsys):
    assert session.run("a = 20\nprint('a is', a)") is None
    assert session.run(lambda x, y=0: x + y, 40, y=2) == 42
    assert session.pull("a + 1") == 21
    assert capsys.readouterr().out == "a is 20\n"
    assert (session.peer, session.alive, repr(session)) == ("desk", True, "<Session work on desk>")


def test_values_are_pushed_and_pulled(session):
    session.push(numbers=[1, 2.5, None], größe=bytes(5_000_000))
    assert session.pull("numbers", "len(größe)") == ([1, 2.5, None], 5_000_000)
    with pytest.raises(homie.HomieError, match=r"missing.*NameError"):
        session.pull("missing")


def test_nothing_of_large_values_stays_there(session):
    jobs = [session.submit(lambda data: data * 2, bytes(3_000_000)) for _ in range(4)]
    assert [len(job.result()) for job in jobs] == [6_000_000] * 4
    assert session.run(lambda: __import__("os").listdir(".homie")) == []


def test_files_are_put_into_its_folder(session, tmp_path):
    (tmp_path / "data.txt").write_text("here")
    session.put(str(tmp_path / "data.txt"))
    assert session.run(lambda: Path("data.txt").read_text()) == "here"
    with pytest.raises(homie.HomieError, match=r"none\.txt"):
        session.put(str(tmp_path / "none.txt"))


def test_patterns_of_files_go_and_come(session, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a.csv", "b.csv", "c.txt"):
        (tmp_path / name).write_text(name)
    session.put("*.csv")
    session.run("import os; os.makedirs('out/deep'); os.symlink('/etc/passwd', 'out/passwd')")
    session.run("[open(f'out/deep/{n}', 'w').write(n) for n in sorted(os.listdir('.')) if n.endswith('.csv')]")
    there = tmp_path / "homie-results" / "work-1" / "out" / "deep"
    assert session.get("out") == [there / "a.csv", there / "b.csv"]
    assert (there / "b.csv").read_text() == "b.csv"
    assert "homie: not taken: out/passwd: a link that leads out" in capsys.readouterr().err
    (tmp_path / "a.csv").write_text("mine")
    (came,) = session.get("a*", into=".")
    assert (came.read_text(), came.name[:6], Path("a.csv").read_text()) == ("a.csv", "a.csv.", "mine")
    assert "a.csv exists already and was kept" in capsys.readouterr().err
    for glob, why in (("*.pt", r"\*\.pt cannot come from desk: no file matches"), ("/etc/*", "such as 'out/")):
        with pytest.raises(homie.HomieError, match=why):
            session.get(glob, into="new")
    with pytest.raises(homie.HomieError, match=r"no file matches \*\.pt"):
        session.put("*.pt")
    assert not Path("new").exists()


def test_files_come_while_others_go_on(session, tmp_path):
    session.run("open('big', 'wb').write(bytes(20_000_000))")
    after = [session.submit(lambda data: data, bytes(3_000_000)) for _ in range(2)]
    (came,) = session.get("big", into=tmp_path)
    assert came.stat().st_size == 20_000_000
    assert [len(job.result()) for job in after] == [3_000_000] * 2


def test_an_error_leaves_it_as_it_was(session):
    with pytest.raises(homie.RemoteError) as caught:
        session.run("b = 1\nundefined_name")
    assert (caught.value.ename, session.pull("b")) == ("NameError", 1)


def test_jobs_run_one_after_another_and_each_is_cancelled_alone(session):
    first = session.submit(time.sleep, 1000)
    second, third = session.submit("c = 1"), session.submit(lambda: c)  # noqa: F821
    assert (second.status, third.status) == ("waiting", "waiting")
    assert second.cancel()
    assert second.status == "cancelled"
    first.cancel()
    with pytest.raises(CancelledError):
        first.result(20)
    assert third.exception(20).ename == "NameError"
    assert session.alive


def test_async(session):
    async def work():
        return await session.submit(abs, -3), await asyncio.gather(*(session.submit(abs, -x) for x in range(3)))

    assert asyncio.run(work()) == (3, [0, 1, 2])


def test_restarted_it_has_its_files_and_no_variables(session):
    session.run("open('kept', 'w').close()\nd = 1")
    session.restart()
    assert session.run(lambda: Path("kept").exists()) is True
    with pytest.raises(homie.HomieError, match="NameError"):
        session.pull("d")


def test_code_takes_no_arguments(session):
    with pytest.raises(TypeError, match="push"):
        session.run("x", 1)


def test_closed_it_is_over_and_says_so(module_env, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with homie.Session("short", ram="256m") as session:
        session.run("open('made.txt', 'w').write('by a session')")
        running = session.submit(time.sleep, 1000)
    assert repr(session) == "<Session short on desk, over>"
    assert isinstance(
        running.exception(20), (homie.RemoteError, homie.HomieError)
    )  # it may hear of the end or not
    with pytest.raises(homie.HomieError):
        session.run("1")
    session.close()
    assert [path.read_text() for path in tmp_path.glob("homie-results/*/made.txt")] == ["by a session"]
