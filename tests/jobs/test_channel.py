"""The channel to a session, over two real daemons: complete, once, in order, whoever comes and goes."""

from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from ear import Ear, cell, text
from test_script import peak_memory
from waiting import wait_until

from homie_core.client import Client, new_job_id, request_for_session
from homie_core.client.channel import Channel
from homie_core.model.control import Follow, Placed, Refused
from homie_core.model.errors import PeerRefused
from homie_core.model.event import Busy, Ended, Restarted
from homie_core.model.job import Ask, How
from homie_core.model.session import Finish, Restart

pytestmark = pytest.mark.docker


MANY = "from IPython.display import display\nfor i in range(8000): display(str(i) + 'x' * 10_000)"


@pytest.fixture
def open_session(pair, tmp_path):
    """`with open_session() as ear:` a session of laptop's on desk; ended afterwards."""

    @contextmanager
    def open_session(**changes):
        job = new_job_id()
        request = request_for_session("test", results=tmp_path / "results", job=job, ask=Ask(**changes))
        ear = Ear(Channel(pair.laptop.home, request))
        ear.job = job
        try:
            yield ear
        finally:
            ear.may_read.set()
            with suppress(PeerRefused):  # it has ended and was fetched
                Client(pair.laptop.home).stop(job)

    return open_session


def again(pair, ear, after, tmp_path):
    """See the session of another ear again."""
    return Ear(Channel(pair.laptop.home, Follow(job=ear.job, after=after, results=str(tmp_path / "again"))))


def test_displays_arrive_complete_though_nobody_reads_for_a_while(pair, open_session):
    with open_session(memory=1 << 30) as ear:
        ear.channel.tell(cell("pass", "warm"))
        ear.cell_end()
        daemons = [Client(node.home).status().pid for node in (pair.laptop, pair.desk)]
        for pid in daemons:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak counts from here
        before = [peak_memory(pid) for pid in daemons]
        ear.may_read.clear()
        ear.channel.tell(cell(MANY))
        spool = pair.desk.home / "jobs" / ear.job / "events"
        wait_until(lambda: spool.stat().st_size > 8000 * 10_000, "not all of it is kept for who reads later", 120)
        ear.may_read.set()
        said = ear.cell_end(patience=120)
        numbers = [
            int(content["data"]["text/plain"].strip("'x"))
            for _, kind, _, content in said
            if kind == "display_data"
        ]
        assert numbers == list(range(8000))
        grown = [peak_memory(pid) - was for pid, was in zip(daemons, before, strict=True)]
        assert max(grown) < 64 << 20, grown


def test_a_notebook_that_comes_back_sees_the_newest_cell_from_its_beginning(pair, open_session, tmp_path):
    with open_session() as ear:
        ear.channel.tell(cell("print('old')", "old"))
        ear.cell_end()
        ear.channel.tell(cell("import time\nprint('on')\ntime.sleep(1)\nprint('off')", "new"))
        ear.until(Busy)
        ear.channel.close()
        other = again(pair, ear, -1, tmp_path)
        placed, _ = other.until(Placed)
        assert placed.peer == "desk"
        began, _ = other.until(Busy)
        assert began.cell == "new"
        said = other.cell_end()
        assert text(said) == "on\noff\n"
        other.channel.tell(cell("print('mine now')", "third"))
        assert text(other.cell_end()) == "mine now\n"


def test_two_notebooks_may_speak_to_one_session(pair, open_session, tmp_path):
    with open_session() as ear:
        ear.channel.tell(cell("x = 0", "first"))
        ear.cell_end()
        other = again(pair, ear, -1, tmp_path)
        other.cell_end()
        for number in range(10):
            (ear, other)[number % 2].channel.tell(cell(f"x += 1; print('{number}', x)", f"cell {number}"))
            assert text(ear.cell_end()) == f"{number} {number + 1}\n"
            other.cell_end()


def test_restart_and_finish(pair, open_session, tmp_path):
    with open_session() as ear:
        ear.channel.tell(cell("x = 1; open('kept.txt', 'w').write('y')"))
        ear.cell_end()
        ear.channel.tell(Restart())
        ear.until(Restarted)
        ear.channel.tell(cell("print('x' in globals())", "second"))
        assert text(ear.cell_end()) == "False\n"
        ear.channel.tell(Finish())
        ended, _ = ear.until(Ended)
        assert ended.outcome.how is How.EXITED
    assert (tmp_path / "results/kept.txt").read_text() == "y"


def test_a_session_nobody_uses_ends_and_says_so(base_image, tmp_path):
    from pair import Pair

    with Pair(session_idle_timeout="1") as pair:
        request = request_for_session("idle", results=tmp_path, job=new_job_id())
        ear = Ear(Channel(pair.laptop.home, request))
        ear.channel.tell(cell("import time; time.sleep(2); print('done')"))
        assert text(ear.cell_end()) == "done\n", "while a cell runs it is not idle"
        ended, _ = ear.until(Ended)
        assert ended.outcome.how is How.IDLE


def test_a_job_that_is_no_session_of_mine_has_no_channel(pair, tmp_path):
    ear = Ear(Channel(pair.laptop.home, Follow(job="0" * 12)))
    refused, _ = ear.until(Refused)
    assert "was not sent from here" in refused.message
