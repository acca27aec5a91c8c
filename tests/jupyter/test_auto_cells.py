"""`%%homie --auto`, in a real sandbox on another node."""

import pytest
from local_kernel import LocalKernel

pytestmark = [
    pytest.mark.docker,
    # jupyter_client on its way to a new event loop policy; nothing of ours
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
]


def test_what_a_cell_reads_goes_and_what_it_makes_comes_back(kernel: LocalKernel):
    kernel.run(
        "import math\nbase, untouched = [1, 2], 'here'\ndef power(x): return math.pow(x, exponent)\nexponent = 3"
    )
    ran = kernel.run(
        "%%homie --auto\nsquares = [power(x) for x in base]\nimport os\nlast = squares[-1]\nbase.append(9)"
    )
    said = ran.stream("stderr")
    assert said.startswith("homie: sends ")
    assert "power (" in said
    assert "base (30 B)" in said
    assert "untouched" not in said
    assert ran.footer.endswith(" · squares, last")
    assert kernel.run("squares, last, base").results == ["([1.0, 8.0], 8.0, [1, 2])"]


def test_what_is_no_data_stays_there_and_that_is_said(kernel: LocalKernel):
    ran = kernel.run("%%homie --auto\nhandle = open('x', 'w')\nn = 1\nif n > 1:\n    never = 2\ndef f(): pass")
    assert ran.stream("stderr").startswith("homie: not brought back from desk: handle (no data, or larger than")
    assert kernel.run("n, 'handle' in globals(), 'never' in globals()").results == ["(1, False, False)"]


def test_much_is_sent_only_if_that_is_wanted(kernel: LocalKernel):
    kernel.run("%config Homie.auto_limit = '1m'")
    try:
        kernel.run("much, mine = bytes(2_000_000), 0")
        kernel.answers += ["n", "y"]
        ran = kernel.run("%%homie --auto\nsize = len(much)", fine=False)
        assert "nothing was sent; `-i NAMES` instead" in ran.stream("stderr")
        assert "This sends much (1.9 MB): more than the 1.0 MB of `%config" in kernel.asked[-1]["prompt"]
        kernel.run("%%homie --auto\nsize = len(much)")
        assert kernel.run("size").results == ["2000000"]
        ran = kernel.run("%%homie --auto\nback = bytes(2_000_000)")
        assert "not brought back from desk: back" in ran.stream("stderr")
        kernel.run("%config Homie.auto_limit = 'lots'")
        ran = kernel.run("%%homie --auto\npass", fine=False)
        assert "`%config Homie.auto_limit`: 'lots' is no size" in ran.stream("stderr")
    finally:
        kernel.run("%config Homie.auto_limit = '100m'")


@pytest.fixture
def sticky(kernel: LocalKernel):
    kernel.run("%homie on --auto")
    yield
    kernel.run("%homie off")


def test_a_whole_notebook_runs_there_without_a_name_being_named(kernel: LocalKernel, sticky):
    kernel.run("%%local\nhere = 20")
    kernel.run("there = here + 1")
    kernel.run("there = there * 2")
    assert kernel.run("%%local\nthere").results == ["42"]


def test_what_cells_there_made_of_a_value_stays(kernel: LocalKernel, sticky):
    kernel.run("items = [1]")
    kernel.run("items.append(2)")
    ran = kernel.run("items")
    assert (ran.results, ran.stream("stderr")) == (["[1, 2]"], ""), "nothing has changed here, so nothing goes"
    kernel.run("%%local\nitems[0] = 7")
    ran = kernel.run("items")
    assert ran.results == ["[7]"]
    assert ran.stream("stderr").startswith("homie: sends items (")


def test_a_new_item_comes_back(kernel: LocalKernel, sticky):
    kernel.run("%%local\ntable = {'a': 1}")
    ran = kernel.run("table['b'] = 2\ndel table['a']")
    assert ran.footer.endswith(" · table")
    assert kernel.run("table").stream("stderr") == ""
    assert kernel.run("%%local\ntable").results == ["{'b': 2}"]


def test_what_is_defined_or_made_there_is_not_put_back_by_what_is_here(kernel: LocalKernel, sticky):
    kernel.run("%%local\ndef which(): return 'old'\nhandle, count = 'old', 'old'")
    kernel.run("def which(): return 'new'\nhandle = open('x', 'w')")
    assert kernel.run("which(), handle.name").results == ["('new', 'x')"]
    assert kernel.run("count = 'new'\n1 / 0", fine=False).error["ename"] == "ZeroDivisionError"
    assert kernel.run("count").results == ["'new'"]
    assert kernel.run("%%local\nwhich(), handle, count").results == ["('old', 'old', 'old')"]


def test_what_magics_and_commands_read_goes_too(kernel: LocalKernel, sticky):
    kernel.run("%%local\nword, size = 'well', 6")
    ran = kernel.run("%%time\nsaid = !echo {word} $size\nsaid, size = said[0], size * 7")
    assert "Wall time" in ran.stream()
    assert kernel.run("%%local\nsaid, size").results == ["('well 6', 42)"]


def test_a_session_that_began_anew_gets_everything_again(kernel: LocalKernel):
    kernel.run("again = 'x' * 1000")
    assert kernel.run("%%homie --auto\nlen(again)").stream("stderr").startswith("homie: sends again (")
    assert kernel.run("%%homie --auto\nlen(again)").stream("stderr") == ""
    kernel.run("%homie restart")
    ran = kernel.run("%%homie --auto\nlen(again)")
    assert (ran.results, ran.stream("stderr")[:19]) == (["1000"], "homie: sends again ")
    fresh = kernel.run("%%homie --auto --fresh\nlen(again)")
    assert (fresh.results, fresh.stream("stderr")[:19]) == (["1000"], "homie: sends again ")


def test_what_did_not_arrive_goes_again(kernel: LocalKernel, tmp_path):
    kernel.run(
        f"import os, sys\nsite = {str(tmp_path / 'site-packages')!r}\nos.mkdir(site)\nsys.path.insert(0, site)\n"
        "open(f'{site}/mine_alone.py', 'w').write('class Thing: pass')\nimport mine_alone\n"
        "thing = mine_alone.Thing()"
    )
    for _ in range(2):
        ran = kernel.run("%%homie --auto\nthing", fine=False)
        assert "No module named 'mine_alone'" in "".join(ran.error["traceback"])


def test_what_cannot_be_sent_says_what_to_do(kernel: LocalKernel):
    kernel.run("generator = (n for n in ())")
    said = kernel.run("%%homie --auto\nlist(generator)", fine=False).stream("stderr")
    assert "`generator` (generator) cannot be sent: TypeError" in said
    assert "make it there, or name what goes with `-i` instead of --auto" in said


def test_a_dry_run_names_what_was_found(kernel: LocalKernel):
    kernel.run("found = 'x' * 100")
    said = kernel.run("%%homie --auto --dry-run\nlen(found)").stream()
    assert "the values of found (" in said


def test_where_nobody_can_be_asked_much_is_an_error(kernel: LocalKernel):
    kernel.run("%config Homie.auto_limit = '1m'\nmuch = b'!' * 2_000_000")
    try:
        id = kernel.client.execute("%%homie --auto\nlen(much)", allow_stdin=False, stop_on_error=False)
        ran = kernel.rest(id, fine=False)
        assert "--auto would send much (1.9 MB): more than the 1.0 MB" in ran.stream("stderr")
    finally:
        kernel.run("%config Homie.auto_limit = '100m'")
