"""Cells in a session on another node, seen from the notebook."""

import os
import random
import re
import subprocess
import sys
import time

import pytest
from local_kernel import LocalKernel

pytestmark = [
    pytest.mark.docker,
    # jupyter_client on its way to a new event loop policy; nothing of ours
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
]


def plain(text):
    return re.sub("\x1b\\[[0-9;]*m", "", text)


def test_variables_stay_and_values_are_shown(kernel: LocalKernel):
    kernel.run("%%homie\nx = 41")
    ran = kernel.run("%%homie\nprint('out')\nx + 1")
    assert (ran.stream(), ran.results) == ("out\n", ["42"])
    assert kernel.run("'x' in globals()").results == ["False"], "they are there, not here"


def test_the_footer_says_where_and_how_long(kernel: LocalKernel):
    peer, spent = kernel.run("%%homie\npass").footer.split(" · ")
    assert peer == "desk"
    assert spent.endswith(" s")


def test_a_result_carries_the_number_of_its_cell(kernel: LocalKernel):
    ran = kernel.run("%%homie\n1")
    assert ran.contents("execute_result")[0]["execution_count"] == ran.reply["execution_count"]


def test_streams_stay_apart_and_unicode_is_whole(kernel: LocalKernel):
    ran = kernel.run("%%homie\nimport sys\nprint('ä€😀')\nprint('err', file=sys.stderr)")
    assert (ran.stream(), ran.stream("stderr")) == ("ä€😀\n", "err\n")


def test_output_comes_while_the_cell_runs(kernel: LocalKernel):
    id = kernel.start("%%homie\nimport time\nprint('on')\ntime.sleep(1.5)\nprint('off')")
    began, times = time.monotonic(), {}
    for message in kernel.messages_of(id):
        if message["msg_type"] == "stream":
            times[message["content"]["text"]] = time.monotonic() - began
    assert times["off\n"] - times["on\n"] > 1


def test_an_error_is_this_cells_error(kernel: LocalKernel):
    ran = kernel.run("%%homie\ndef f(): return 1 / 0\nf()", fine=False)
    assert ran.status == "error"
    assert (ran.error["ename"], ran.error["evalue"]) == ("ZeroDivisionError", "division by zero")
    shown = plain("\n".join(ran.error["traceback"]))
    assert "----> 2 f()" in shown
    assert "homie" not in shown
    assert "\x1b[" in "".join(ran.error["traceback"]), "coloured"


def test_an_error_that_is_shown_and_not_raised_is_output(kernel: LocalKernel):
    ran = kernel.run("%%homie\ntry: 1 / 0\nexcept Exception: get_ipython().showtraceback()\nprint('on')")
    assert ran.error["ename"] == "ZeroDivisionError"
    assert ran.stream() == "on\n"


@pytest.mark.parametrize(
    "code", ["def f(:", "%no_such_magic", "raise KeyboardInterrupt", "import nothing_of_that_name"]
)
def test_whatever_fails_is_an_error(kernel: LocalKernel, code):
    assert kernel.run(f"%%homie\n{code}", fine=False).status == "error"


def test_rich_output_updates_and_clearing(kernel: LocalKernel):
    ran = kernel.run(
        "%%homie\nfrom IPython.display import HTML, clear_output, display\n"
        "display(HTML('<b>bold</b>'))\nhandle = display('a', display_id='mine')\nclear_output(wait=True)\n"
        "handle.update('b')\nprint('c')"
    )
    first, second = ran.contents("display_data")[:2]
    assert first["data"]["text/html"] == "<b>bold</b>"
    (update,) = ran.contents("update_display_data")
    assert update["data"]["text/plain"] == "'b'"
    assert update["transient"] == second["transient"]
    assert second["transient"]["display_id"] != "mine", "a peer cannot name another's display"
    assert ran.contents("clear_output") == [{"wait": True}]


def test_input_and_passwords_are_asked_here(kernel: LocalKernel):
    kernel.answers[:] = ["Ada", "secret"]
    ran = kernel.run("%%homie\nimport getpass\nprint(input('name? '), getpass.getpass('word? '))")
    assert ran.stream() == "Ada secret\n"
    assert kernel.asked[-2:] == [
        {"prompt": "name? ", "password": False},
        {"prompt": "word? ", "password": True},
    ]


def test_the_next_cell_can_be_proposed(kernel: LocalKernel):
    ran = kernel.run("%%homie\nget_ipython().set_next_input('1 + 1')")
    (payload,) = ran.reply["payload"]
    assert (payload["source"], payload["text"]) == ("set_next_input", "1 + 1")


def test_late_output_of_a_thread_goes_to_its_cell(kernel: LocalKernel):
    first = kernel.start(
        "%%homie\nimport threading, time\n"
        "def late():\n    time.sleep(0.5)\n    print('late')\n"
        "thread = threading.Thread(target=late); thread.start()"
    )
    kernel.rest(first)
    kernel.run("import time; time.sleep(1)")
    late = [message for message in kernel.late if message["msg_type"] == "stream"]
    assert [message["content"]["text"] for message in late] == ["late\n"]
    assert late[0]["parent_header"]["msg_id"] == first


def test_top_level_await_shell_and_magics(kernel: LocalKernel):
    ran = kernel.run("%%homie\nimport asyncio\nawait asyncio.sleep(0)\n!echo shell\n%pwd")
    assert ran.stream().split() == ["shell"]
    assert ran.results == ["'/work'"]


def test_the_stop_button_interrupts_and_the_session_lives(kernel: LocalKernel):
    kernel.run("%%homie\nkept = 7")
    id = kernel.start("%%homie\nimport time\nprint('on')\ntime.sleep(60)")
    began = None
    for message in kernel.messages_of(id):
        if message["msg_type"] == "stream" and began is None:
            began = time.monotonic()
            kernel.interrupt()
        if message["msg_type"] == "error":
            assert message["content"]["ename"] == "KeyboardInterrupt"
            error = time.monotonic()
    assert error - began < 10
    assert kernel.run("%%homie\nkept").results == ["7"]


def test_interrupts_at_random_moments(kernel: LocalKernel):
    random.seed(3)
    interrupted = 0
    for number in range(20):
        id = kernel.start(
            f"%%homie\nimport time\nprint('on')\nfor i in range(600): time.sleep(0.001)\nprint('whole {number}')"
        )
        texts, errors = "", 0
        for message in kernel.messages_of(id):
            if message["msg_type"] == "stream":
                if not texts:
                    time.sleep(random.uniform(0, 0.25))
                    kernel.interrupt()
                texts += message["content"]["text"]
            errors += message["msg_type"] == "error"
        assert texts in ("on\n", f"on\nwhole {number}\n")
        assert errors <= 1
        assert errors or "whole" in texts
        interrupted += errors
    assert interrupted > 5
    assert not [late for late in kernel.late if "whole" in str(late["content"])], "no output in another cell"
    assert kernel.run("%%homie\n1 + 1").results == ["2"]


def test_what_a_cell_floods_arrives_complete(kernel: LocalKernel):
    ran = kernel.run("%%homie\nfor i in range(200_000): print(i)")
    assert ran.stream() == "".join(f"{i}\n" for i in range(200_000))


def test_thousands_of_displays_arrive(kernel: LocalKernel):
    ran = kernel.run("%%homie\nfrom IPython.display import display\nfor i in range(3000): display(i)")
    assert ran.shown == [str(i) for i in range(3000)]


def test_files_go_into_a_session_that_runs(kernel: LocalKernel, folder):
    (folder / "sub").mkdir()
    (folder / "sub/data.csv").write_text("1,2\n")
    assert kernel.run("%%homie -f sub\nprint(open('sub/data.csv').read())").stream() == "1,2\n\n"
    (folder / "sub/data.csv").write_text("changed\n")
    assert kernel.run("%%homie -f sub/data.csv\nprint(open('sub/data.csv').read())").stream() == "changed\n\n"


def test_a_fresh_cell_has_a_sandbox_of_its_own_and_its_files_come_back(kernel: LocalKernel, folder):
    (folder / "in.txt").write_text("x")
    kernel.run("%%homie\nhere = 1")
    ran = kernel.run("%%homie --fresh -f in.txt\nopen('out.txt', 'w').write('made')\nprint('here' in globals())")
    assert ran.stream() == "False\n"
    assert "1 file in " in ran.footer
    job = re.search("job ([0-9a-f]{12})", ran.footer)[1]
    assert [path.name for path in (folder / "homie-results" / job).iterdir()] == ["out.txt"]
    assert kernel.run("%%homie\nhere").results == ["1"], "the next cell goes to the session"


def test_a_named_session_is_another_one(kernel: LocalKernel):
    kernel.run("%%homie\nwhich = 'main'")
    kernel.run("%%homie -s other\nwhich = 'other'")
    assert kernel.run("%%homie\nwhich").results == ["'other'"], "the next cell goes where the last one went"
    assert kernel.run("%%homie -s main\nwhich").results == ["'main'"]
    (table,) = kernel.run("%homie sessions").shown
    assert [line.split()[:2] for line in table.splitlines()[1:]] == [["main", "desk"], ["other", "desk"]]
    kernel.run("%homie end other")
    assert kernel.run("%%homie\nwhich").results == ["'main'"]


def test_restart_forgets_variables_and_keeps_files(kernel: LocalKernel):
    kernel.run("%%homie\ngone = 1\nopen('stays', 'w').write('y')")
    kernel.run("%homie restart")
    assert kernel.run("%%homie\nprint('gone' in globals(), open('stays').read())").stream() == "False y\n"


def test_a_kernel_that_dies_is_said_and_the_next_cell_begins_anew(kernel: LocalKernel):
    ran = kernel.run("%%homie\nimport os; os._exit(3)", fine=False)
    assert ran.status == "error"
    assert "it ended with status 3" in ran.stream("stderr")
    assert kernel.run("%%homie\n1").results == ["1"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-n nobody", "no peer is called nobody. Here now: desk"),
        ("-s gpu --gpu", "desk: has no GPU"),
        ("-f nothing.csv", "nothing.csv: No such file or directory"),
        ("--frobnicate", "unrecognized arguments: --frobnicate"),
        ("--fresh -s x", "use one of them"),
        ("--ram 1g", "is open already, without --ram"),
        ("peers", "takes options only"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(kernel: LocalKernel, line, words):
    kernel.run("%%homie\npass")
    ran = kernel.run(f"%%homie {line}\npass", fine=False)
    assert ran.status == "error"
    assert words in ran.stream("stderr")
    assert "Traceback" not in ran.stream("stderr")


def test_below_another_magic_it_runs_too(kernel: LocalKernel):
    ran = kernel.run("%%time\n%%homie\nprint('there')")
    assert ran.stream().startswith("there\n")
    assert "Wall time" in ran.stream()


def test_help_documents_every_option(kernel: LocalKernel):
    text = kernel.run("print(get_ipython().find_cell_magic('homie').__doc__)").stream()
    for option in ("--node", "--gpu", "--file", "--session", "--fresh", "--cpus", "--ram", "--timeout"):
        assert option in text
    assert kernel.run("%%homie?", fine=False).status == "ok"


def test_unloading_leaves_nothing(kernel: LocalKernel):
    kernel.run("%unload_ext homie_jupyter")
    assert "not found" in kernel.run("%homie peers", fine=False).stream("stderr")
    assert kernel.run("hasattr(get_ipython(), 'homie_magics')").results == ["False"]
    kernel.run("%load_ext homie_jupyter")


def test_a_notebook_whose_kernel_was_restarted_finds_its_cell_again(start_kernel, tmp_path):
    with start_kernel(tmp_path, JPY_SESSION_NAME=str(tmp_path / "a.ipynb")) as kernel:
        kernel.run("%%homie\nkept = 7")
        id = kernel.start("%%homie\nimport time\nprint('on')\ntime.sleep(4)\nprint('off')\nkept")
        for message in kernel.messages_of(id):
            if message["msg_type"] == "stream":
                break
        kernel.restart()
        (table,) = kernel.run("%homie sessions").shown
        assert "main     desk  left open by an earlier kernel" in table
        ran = kernel.run("%homie attach")
        assert ran.stream() == "on\noff\n"
        assert ran.results == ["7"]
        assert ran.footer.startswith("desk · ")
        assert kernel.run("%%homie\nkept").results == ["7"], "and the session goes on"
        kernel.run("%homie end")


def test_the_second_stop_leaves_a_cell_to_itself(start_kernel, tmp_path):
    with start_kernel(tmp_path) as kernel:
        kernel.run("%%homie\nimport signal, time")
        id = kernel.start(
            "%%homie\nold = signal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('on')\ntime.sleep(4)\n"
            "signal.signal(signal.SIGINT, old)\nprint('off')"
        )
        kernel.answers.append("leave")
        for message in kernel.messages_of(id):
            if message["msg_type"] == "stream" and "on\n" in message["content"]["text"]:
                kernel.interrupt()
                time.sleep(0.3)
                kernel.interrupt()
        assert "still runs on desk" in kernel.asked[-1]["prompt"]
        assert kernel.run("%homie attach").stream() == "off\n"
        kernel.run("%homie end")


def test_a_plain_ipython_in_a_terminal_shows_text(pair, tmp_path):
    cells = [
        "%load_ext homie_jupyter",
        "%%homie\nprint('\\x1b[2Jthere')\n6 * 7",
        "%%homie\nraise ValueError('\\x1b[2Jwrong')",
        "%homie end",
    ]
    script = "".join(f"get_ipython().run_cell({cell!r})\n" for cell in cells)
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "-c", script],
        env={**os.environ, "HOMIE_HOME": str(pair.laptop.home), "IPYTHONDIR": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "there\n" in done.stdout
    assert "\x1b[2J" not in done.stdout + done.stderr, "nobody moves my cursor"
    assert "42\n" in done.stdout
    assert "ValueError: wrong" in plain(done.stdout + done.stderr)
    assert "main on desk has ended" in done.stdout


def test_output_is_captured_in_a_variable(kernel: LocalKernel):
    ran = kernel.run(
        "%%homie --capture out\nimport sys\nprint('text')\nprint('err', file=sys.stderr)\ndisplay(1)\n2"
    )
    assert (ran.stream(), ran.stream("stderr"), ran.shown, ran.results) == ("", "", [], [])
    assert ran.footer.endswith(" · output in out")
    kept = kernel.run("out.stdout, out.stderr, [shown.data['text/plain'] for shown in out.outputs]").results
    assert kept == ["('text\\n', 'err\\n', ['1', '2'])"]
    assert kernel.run("out.show()").stream() == "text\n"


def test_a_quiet_cell_shows_its_output_only(kernel: LocalKernel):
    ran = kernel.run("%%homie -q\nprint('text')")
    assert [message["msg_type"] for message in ran.messages if message["msg_type"] != "execute_input"] == [
        "stream"
    ]


def test_a_cell_runs_here_when_that_is_asked_for_and_says_so(kernel: LocalKernel):
    kernel.run("place = 'here'")
    kernel.run("%%homie\nplace = 'there'")
    ran = kernel.run("%%homie --local\nprint(place)\nplace")
    assert (ran.stream(), ran.results) == ("here\n", ["'here'"])
    assert "runs here" in ran.stream("stderr")
    ran = kernel.run("%%homie --local\n1 / 0", fine=False)
    assert ran.status == "error"
    assert ran.error["ename"] == "ZeroDivisionError"


def test_whole_notebooks_run_there_once_it_is_switched_on(kernel: LocalKernel):
    kernel.run("place = 'here'")
    kernel.run("%%homie\nplace = 'there'")
    assert "`%%local`" in kernel.run("%homie on -q").stream()
    try:
        ran = kernel.run("place")
        assert ran.results == ["'there'"]
        assert kernel.run("%%time\nprint(place)").stream().startswith("there\n"), "other magics go along"
        assert kernel.run("!echo $USER").stream().strip() == "job"
        assert kernel.run("%%local\nplace").results == ["'here'"]
        assert kernel.run("%homie place").results == ["'there'"]
        assert kernel.run("1 / 0", fine=False).error["ename"] == "ZeroDivisionError"
    finally:
        assert "run here again" in kernel.run("%homie off").stream()
    assert kernel.run("place").results == ["'here'"]


def test_switching_it_on_with_nonsense_is_told(kernel: LocalKernel):
    assert "did you mean --fresh?" in kernel.run("%homie on --frsh", fine=False).stream("stderr")
    assert kernel.run("1").results == ["1"]
