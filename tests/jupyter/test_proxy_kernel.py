"""A kernel whose code runs on a peer, as front ends see it: through thick and thin."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import nbformat
import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel
from jupyter_client.session import Session as Signer
from local_kernel import PATIENCE, LocalKernel

pytestmark = [
    pytest.mark.docker,
    # jupyter_client on its way to a new event loop policy; nothing of ours
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
]


@pytest.fixture(scope="module", autouse=True)
def _installed(pair, tmp_path_factory):
    """Kernels as the command installs them, in a folder of Jupyter's that is the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        data = tmp_path_factory.mktemp("jupyter")
        patch.setenv("JUPYTER_DATA_DIR", str(data))
        patch.setenv("HOMIE_HOME", str(pair.laptop.home))
        for which in ((), ("--name", "desk"), ("--name", "nobody"), ("--name", "unset")):
            pair.laptop.homie("kernel", "install", *which, env=dict(os.environ))
        spec = data / "kernels/homie-unset/kernel.json"
        spec.write_text(json.dumps({**json.loads(spec.read_text()), "env": {}}))
        yield


@contextmanager
def kernel_on(name, folder, **env):
    manager, client = start_new_kernel(kernel_name=name, cwd=str(folder), env={**os.environ, **env})
    try:
        yield LocalKernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=not manager.is_alive())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def kernel(folder):
    """One kernel, with one session, for all tests that leave it as it was."""
    with kernel_on("homie-desk", folder) as kernel:
        yield kernel


def sessions(pair):
    """Those that laptop has open now."""
    return [job["id"] for job in json.loads(pair.laptop.homie("jobs", "--json").stdout) if job["state"] != "ended"]


def until(condition, what, within=30.0):
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def shows(kernel, id, text):
    """Read until this cell has shown this text, and return what showed it."""
    for message in kernel.messages_of(id):
        if text in json.dumps(message["content"]):
            return message
    raise AssertionError(f"{text!r} was not shown")


def reply_to(id, client):
    """Return the reply to this request; others (a client that connects asks several times) are passed over."""
    while (reply := client.get_shell_msg(timeout=PATIENCE))["parent_header"]["msg_id"] != id:
        pass
    return reply["content"]


def test_variables_stay_and_the_number_of_a_cell_is_the_one_over_there(kernel):
    kernel.run("x = 41")
    ran = kernel.run("print('out')\nx + 1")
    assert (ran.stream(), ran.results, ran.shown) == ("out\n", ["42"], [])
    number = ran.reply["execution_count"]
    assert ran.contents("execute_input") == [{"code": "print('out')\nx + 1", "execution_count": number}]
    assert ran.contents("execute_result")[0]["execution_count"] == number
    assert kernel.run(f"Out[{number}]").results == ["42"]


def test_it_says_what_it_is(kernel):
    said = reply_to(kernel.client.kernel_info(), kernel.client)
    assert said["banner"].startswith("Python on desk ")
    assert said["language_info"]["name"] == "python"
    assert said["supported_features"] == [], "neither subshells nor a debugger go through a session"


def test_interrupt_and_the_session_lives(kernel):
    kernel.run("kept = 7")
    for interrupt in (kernel.manager.interrupt_kernel, lambda: kernel.manager.provisioner.process.send_signal(2)):
        id = kernel.start("import time\nprint('on', flush=True)\ntime.sleep(60)")
        shows(kernel, id, "on")
        interrupt()
        ran = kernel.rest(id, fine=False)
        assert ran.error["ename"] == ran.reply["ename"] == "KeyboardInterrupt"
        assert kernel.run("kept").results == ["7"]


def test_an_error_aborts_the_cells_behind_it(kernel):
    ids = [kernel.client.execute(code) for code in ("import time; time.sleep(0.3); 1 / 0", "print(1)", "print(2)")]
    assert [reply_to(id, kernel.client)["status"] for id in ids] == ["error", "aborted", "aborted"]
    assert kernel.run("'on'").results == ["'on'"]


def test_while_a_cell_runs_it_says_what_it_is_and_stays_busy(kernel):
    id = kernel.start("print('on', flush=True); input()")
    kernel.answers[:] = []
    shows(kernel, id, "on")
    asked = kernel.client.kernel_info()
    assert reply_to(asked, kernel.client)["status"] == "ok"
    states = []
    while states[-2:] != [("idle", asked), ("busy", id)]:
        message = kernel.client.get_iopub_msg(timeout=PATIENCE)
        if message["msg_type"] == "status":
            states.append((message["content"]["execution_state"], message["parent_header"]["msg_id"]))
    kernel.answers[:] = ["x"]
    assert kernel.rest(id).results == ["'x'"]


def test_answers_and_questions_go_to_who_asked(kernel):
    other = BlockingKernelClient()  # with an identity of its own, unlike `kernel.manager.client()`
    other.load_connection_file(kernel.manager.connection_file)
    other.start_channels()
    try:
        other.wait_for_ready(timeout=PATIENCE)
        id = other.execute("input('who? ')", allow_stdin=True)
        assert other.get_stdin_msg(timeout=PATIENCE)["content"]["prompt"] == "who? "
        assert not kernel.client.stdin_channel.msg_ready()
        other.input("the other")
        assert reply_to(id, other)["status"] == "ok"
        while kernel.client.shell_channel.msg_ready():
            assert kernel.client.get_shell_msg(timeout=0)["msg_type"] == "kernel_info_reply", (
                "not of the other's cell"
            )
        shown = shows(kernel, id, "the other")
        assert shown["msg_type"] == "execute_result", "what it shows, all see"
    finally:
        other.stop_channels()


def test_what_nobody_signed_is_dropped(kernel):
    signer, kernel.client.session.key = kernel.client.session.key, b"another key"
    try:
        kernel.client.execute("stolen = 1")
    finally:
        kernel.client.session.key = signer
    socket = kernel.client.shell_channel.socket
    for rubbish in ([b"rubbish"], [b"<IDS|MSG>"], [b"<IDS|MSG>", b"", b"{", b"{}", b"{}", b"{}"]):
        socket.send_multipart(rubbish)
    bad = Signer(key=signer)
    header = {**bad.msg_header("execute_request"), "msg_id": ["no", "text"]}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": {"code": "stolen = 2"}}
    socket.send_multipart(bad.serialize(message))
    assert kernel.run("'stolen' in globals()").results == ["False"]


def test_a_cell_that_is_too_large_is_refused_and_nothing_breaks(kernel):
    ran = kernel.run(f"x = '{'x' * (4 << 20)}'", fine=False)
    assert "3.0 MB are possible" in ran.error["evalue"]
    assert ran.reply["status"] == "error"
    assert kernel.run("1").results == ["1"]


def test_late_output_goes_to_its_cell(kernel):
    first = kernel.start(
        "import threading, time\ndef late():\n    time.sleep(0.5)\n    print('late')\n"
        "thread = threading.Thread(target=late); thread.start()"
    )
    kernel.rest(first)
    while (message := kernel.client.get_iopub_msg(timeout=PATIENCE))["msg_type"] != "stream":
        pass
    assert message["content"]["text"] == "late\n"
    assert message["parent_header"]["msg_id"] == first


def test_widgets_are_told_of_and_a_comm_of_the_front_ends_is_closed(kernel):
    kernel.run("import ipywidgets; slider = ipywidgets.IntSlider(value=3); slider")
    id = kernel.client.comm_info("jupyter.widget")
    assert len(reply_to(id, kernel.client)["comms"]) == 3, "slider, layout, style"
    message = kernel.client.session.msg("comm_open", {"comm_id": "mine", "target_name": "own", "data": {}})
    kernel.client.shell_channel.send(message)
    closed = shows(kernel, message["header"]["msg_id"], "mine")
    assert closed["msg_type"] == "comm_close"
    kernel.run("ipywidgets.Widget.close_all()")


def test_a_terminal_obeys_only_colours(kernel):
    ran = kernel.run("print('\\x1b[31mred\\x1b[0m \\x1b[2J\\x1b]0;title\\x07\\x9b2Jclear')")
    assert ran.stream() == "\x1b[31mred\x1b[0m clear\n"


def test_a_session_that_is_lost_is_said_in_both_cells_and_then_replaced(pair, folder):
    before = set(sessions(pair))
    with kernel_on("homie-desk", folder) as kernel:
        kernel.run("x = 1")
        ran = kernel.run("'x' * (1 << 30)", fine=False)
        said = "the session on desk is over: stopped: it needed more memory than the 512 MB it was lent on desk"
        assert said in ran.error["evalue"]
        assert "its variables are gone" in ran.error["evalue"]
        ran = kernel.run("'x' in globals()")
        assert ran.stream("stderr").startswith(f"homie: {said}")
        assert "its variables are gone" in ran.stream("stderr")
        assert ran.results == ["False"]
        assert kernel.run("1").stream("stderr") == "", "said once"
        (job,) = set(sessions(pair)) - before
        pair.laptop.homie("cancel", job)
        until(lambda: job not in sessions(pair), "it does not stop")
        assert "is over: stopped, as you asked" in kernel.run("1").stream("stderr")


def test_shutdown_and_restart_end_the_session_and_a_killed_kernel_leaves_it(pair, folder):
    before = set(sessions(pair))
    with kernel_on("homie-desk", folder) as kernel:
        kernel.run("x = 1")
        (first,) = set(sessions(pair)) - before
        kernel.manager.restart_kernel()
        kernel.client.wait_for_ready(timeout=PATIENCE)
        assert first not in sessions(pair)
        assert kernel.run("'x' in globals()").results == ["False"]
        kernel.run("open('result.txt', 'w').write('kept')")
        (second,) = set(sessions(pair)) - before
    until(lambda: second not in sessions(pair), "the session outlives its kernel")
    assert (folder / "homie-results" / second / "result.txt").read_text() == "kept"
    with kernel_on("homie-desk", folder) as kernel:
        kernel.run("x = 1")
        (third,) = set(sessions(pair)) - before
        kernel.manager.provisioner.process.send_signal(signal.SIGTERM)
        until(lambda: third not in sessions(pair), "the session outlives a kernel that was told to end")
    with kernel_on("homie-desk", folder) as kernel:
        kernel.run("x = 1")
        (fourth,) = set(sessions(pair)) - before
        kernel.manager.provisioner.process.kill()
        until(lambda: not kernel.manager.is_alive(), "it lives")
        assert fourth in sessions(pair), "it ends when nobody has used it for long"
    pair.laptop.homie("cancel", fourth)


def test_a_kernel_ends_with_who_started_it(pair, folder):
    before = set(sessions(pair))
    program = (
        "import time; from jupyter_client.manager import start_new_kernel\n"
        "manager, client = start_new_kernel(kernel_name='homie-desk')\n"
        "client.execute_interactive('x = 1')\nprint(manager.provisioner.process.pid, flush=True); time.sleep(600)"
    )
    starter = subprocess.Popen([sys.executable, "-c", program], cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        kernel = psutil.Process(int(starter.stdout.readline()))
        (job,) = set(sessions(pair)) - before
    finally:
        starter.kill()
        starter.communicate()
    until(lambda: job not in sessions(pair), "the session outlives its user")
    until(lambda: not kernel.is_running() or kernel.status() == psutil.STATUS_ZOMBIE, "the kernel lives")


def test_without_a_peer_a_cell_says_what_and_why_and_runs_nowhere(folder, tmp_path):
    with kernel_on("homie-nobody", folder) as kernel:
        assert reply_to(kernel.client.kernel_info(), kernel.client)["banner"].startswith("Python on nobody ")
        ran = kernel.run(f"open({str(tmp_path / 'here')!r}, 'w')", fine=False)
        assert ran.error["ename"] == "NoPeer"
        assert "nobody" in ran.error["evalue"]
        assert "homie peers" in ran.error["evalue"]
        assert not (tmp_path / "here").exists()
        assert kernel.run("1", fine=False).error["ename"] == "NoPeer", "it is tried again"


def test_where_nothing_is_set_up_a_cell_says_so(folder, tmp_path):
    with kernel_on("homie-unset", folder, HOMIE_HOME=str(tmp_path / "none")) as kernel:
        assert "homie setup" in kernel.run("1", fine=False).error["evalue"]


def test_papermill_runs_a_notebook_with_it(folder):
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("n = 1", metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell("import os\nprint(n, os.getcwd())"),
        ],
        metadata={"kernelspec": {"name": "homie-desk", "display_name": "Python on desk", "language": "python"}},
    )
    nbformat.write(notebook, folder / "in.ipynb")
    command = [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", "-p", "n", "5", "--no-progress-bar"]
    subprocess.run(command, cwd=folder, check=True, timeout=120)
    cells = nbformat.read(folder / "out.ipynb", as_version=4).cells
    assert cells[-1].outputs[0].text == "5 /work\n"


def test_a_console_runs_it(folder):
    done = subprocess.run(
        [sys.executable, "-m", "jupyter_console", "--kernel", "homie-desk", "--simple-prompt"],
        input="import os\nprint('in', os.getcwd())\n1 / 0\nexit()\n",
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert "Python on desk" in done.stdout
    assert "in /work" in done.stdout
    assert "ZeroDivisionError: division by zero" in re.sub("\x1b\\[[0-9;]*m", "", done.stderr)
    assert done.returncode == 0
