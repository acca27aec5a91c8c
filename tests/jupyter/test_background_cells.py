"""Cells in the background, in a real sandbox on another node."""

from pathlib import Path

import pytest
from local_kernel import LocalKernel
from pair import Pair

pytestmark = [
    pytest.mark.docker,
    # jupyter_client on its way to a new event loop policy; nothing of ours
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
]

COUNTS = """\
import time
for number in range(3):
    print("count", number, flush=True)
    time.sleep(0.3)
doubled = 2 * given
"""
SLEEPS = "import time\ntime.sleep(1000)"


def card(ran) -> str:
    """Return the id of the display that shows how the cell's job stands."""
    (content,) = [content for content in ran.contents("display_data") if content["transient"].get("display_id")]
    return content["transient"]["display_id"]


def table(kernel) -> str:
    """Return what `%homie jobs` shows."""
    (content,) = kernel.run("%homie jobs").contents("display_data")
    return content["data"]["text/plain"]


def test_a_job_comes_back_at_once_and_its_cell_shows_what_it_does(kernel: LocalKernel):
    kernel.run("given = 4")
    ran = kernel.run(f"%%homie --bg counts -i given -o doubled\n{COUNTS}")
    assert kernel.run("counts.future.done()").results == ["False"], "it is not waited for"
    assert kernel.run("counts.result(), doubled, counts.status, counts.peer").results == ["(8, 8, 'done', 'desk')"]
    kernel.run("pass")
    messages = ran.messages + kernel.late
    printed = "".join(each["content"]["text"] for each in messages if each["msg_type"] == "stream")
    assert printed == "count 0\ncount 1\ncount 2\n"
    states = [
        each["content"]["data"]["text/plain"]
        for each in messages
        if each["msg_type"] == "update_display_data" and each["content"]["transient"]["display_id"] == card(ran)
    ]
    assert states[-1].startswith("counts · done · desk · ")
    assert states[-1].endswith(" · doubled")
    assert kernel.run("''.join(counts.stream())").results == ["'count 0\\ncount 1\\ncount 2\\n'"]
    assert kernel.run("%homie logs counts").stream() == printed


def test_the_notebook_goes_on_meanwhile_and_cells_there_wait_their_turn(kernel: LocalKernel):
    kernel.run(f"%%homie --bg sleeper\n{SLEEPS}")
    kernel.run("while sleeper.status != 'running': pass")
    assert kernel.run("1 + 1").results == ["2"]
    waiting = kernel.start("%%homie\nprint('its turn')")
    for message in kernel.messages_of(waiting):
        if "waits for what runs in the session main" in str(message["content"]):
            break
    kernel.interrupt()
    assert kernel.rest(waiting, fine=False).reply["ename"] == "KeyboardInterrupt"
    assert kernel.run("sleeper.status").results == ["'running'"], "the stop button meant the cell that waited"
    assert kernel.run("%homie cancel sleeper").stream() == "sleeper is being cancelled\n"
    kernel.run("sleeper.exception(20)")
    assert kernel.run("sleeper.status").results == ["'cancelled'"]
    assert "its turn" not in str(kernel.late)
    assert kernel.run("%%homie\n1 + 1").results == ["2"]
    assert kernel.run("%homie cancel sleeper").stream() == "sleeper is over already: cancelled\n"


def test_an_error_is_shown_in_its_cell_and_raised_by_its_result(kernel: LocalKernel):
    kernel.late.clear()
    ran = kernel.run("%%homie --bg fails\n1 / 0")
    assert kernel.run("type(fails.exception(20)).__name__").results == ["'ZeroDivisionError'"]
    assert kernel.run("fails.result()", fine=False).reply["ename"] == "ZeroDivisionError"
    kernel.run("pass")
    said = ran.messages + kernel.late
    (error,) = [message["content"] for message in said if message["msg_type"] == "error"]
    assert (error["ename"], error["evalue"]) == ("ZeroDivisionError", "division by zero")
    assert "ZeroDivisionError" in kernel.run("%homie logs fails").stream()


def test_what_cannot_begin_is_the_cells_own_error(kernel: LocalKernel):
    wrong = kernel.run("%%homie --bg lost -i no_such_name\npass", fine=False)
    assert "there is no variable `no_such_name` here" in wrong.stream("stderr")
    assert "lost" not in table(kernel)
    wrong = kernel.run("%%homie --bg 1x\npass", fine=False)
    assert "--bg takes names of variables" in wrong.stream("stderr")


def test_jobs_are_listed_named_and_completed(kernel: LocalKernel):
    kernel.run(f"%%homie --bg --fresh\n{SLEEPS}")
    kernel.run("while job1.status != 'running': pass")
    head, *rows = table(kernel).splitlines()
    assert head.split() == ["job", "what", "where", "state", "since"]
    (row,) = [" ".join(row.split()) for row in rows if row.startswith("job1 ")]
    assert row.startswith("job1 a cell of this notebook on desk running ")
    again = kernel.run("%%homie --bg job1\npass", fine=False)
    assert "a job job1 is not over yet; cancel it with `%homie cancel job1`" in again.stream("stderr")
    wrong = kernel.run("%homie cancel jbo1", fine=False)
    assert "there is no job jbo1 here; did you mean job1?" in wrong.stream("stderr")
    for verb in ("logs", "cancel"):
        kernel.client.complete(f"%homie {verb} job")
        assert "job1" in kernel.client.get_shell_msg(timeout=20)["content"]["matches"]
    kernel.run("job1.cancel()")
    kernel.run("job1.exception(20)")
    assert kernel.run("job1").contents("display_data")[0]["data"]["text/plain"].startswith("job1 · cancelled")


def test_a_session_is_listed_and_stopped_by_its_id(kernel: LocalKernel):
    kernel.run("%%homie -s stopped\npass")
    (id,) = kernel.run("%%capture said\n%homie jobs") and [
        row.split()[0] for row in table(kernel).splitlines() if "stopped" in row.split()
    ]
    wrong = kernel.run(f"%homie logs {id[:8]}", fine=False)
    assert "stopped on desk is no cell in the background: `%homie attach stopped` shows" in wrong.stream("stderr")
    for typed, meant in ((f"{id[:-1]}x", f"did you mean {id}?"), ("nonsense", "see `%homie jobs`")):
        wrong = kernel.run(f"%homie cancel {typed}", fine=False)
        assert f"there is no job {typed} here; {meant}" in wrong.stream("stderr")
    kernel.client.complete(f"%homie cancel {id[:5]}")
    assert kernel.client.get_shell_msg(timeout=20)["content"]["matches"] == [id]
    assert kernel.run(f"%homie cancel {id[:8]}").stream() == "stopped on desk is being stopped\n"
    closed = kernel.run("get_ipython().homie_magics.notebook._open['stopped'].closed.wait(20)")
    assert closed.results == ["True"]
    assert id not in table(kernel)


def test_a_script_that_nobody_waited_for_is_looked_at_and_fetched(kernel: LocalKernel, folder: Path, pair: Pair):
    (folder / "script.py").write_text("print('hello \\x1b[32mgreen')\nopen('made.txt', 'w').write('made')")
    job = pair.laptop.homie("run", "-d", "-n", "desk", str(folder / "script.py")).stdout.strip()
    assert pair.laptop.homie("logs", "-f", job).stdout == "hello \x1b[32mgreen\n"
    (row,) = [" ".join(row.split()) for row in table(kernel).splitlines() if row.startswith(job)]
    assert row.startswith(f"{job} script.py on desk done ")
    assert kernel.run(f"%homie logs {job[:6]}").stream().startswith("hello \x1b[")
    came = f"files of script.py in homie-results/{job}: made.txt\n"
    assert kernel.run(f"%homie get {job[:6]}").stream() == came
    assert (folder / "homie-results" / job / "made.txt").read_text() == "made"
    assert job not in table(kernel)
    assert job in kernel.run("%homie jobs -a").contents("display_data")[0]["data"]["text/plain"]


def test_jobs_are_awaited(kernel: LocalKernel):
    kernel.run("%%homie --bg six -o n\nn = 6")
    assert kernel.run("await six").results == ["6"]
