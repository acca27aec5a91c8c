"""Variables that go with a cell and come back, from a real sandbox on another node."""

from collections.abc import Iterator

import psutil
import pytest
from local_kernel import LocalKernel, local_kernel
from pair import Pair, packages_of_here

from homie_core.client import Client

pytestmark = [
    pytest.mark.docker,
    # jupyter_client on its way to a new event loop policy; nothing of ours
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
]


@pytest.fixture(scope="module")
def pair(base_image: str) -> Iterator[Pair]:
    with Pair(
        desk={"packages": packages_of_here(), "container_memory_limit": "6g", "container_disk_limit": "4g"}
    ) as pair:
        yield pair


@pytest.fixture(scope="module")
def start_kernel(pair, tmp_path_factory):
    return lambda folder, **env: local_kernel(folder, HOMIE_HOME=str(pair.laptop.home), **env)


@pytest.fixture
def trusted(pair):
    pair.laptop.homie("trust", "desk")
    yield
    pair.laptop.homie("untrust", "desk")


def test_values_go_over_and_come_back(kernel: LocalKernel):
    kernel.run("a, größe = [1, {'b': (2.5, None)}], 'ü'")
    ran = kernel.run("%%homie -i a,größe -o c,größe\nc = {größe: a}\ngröße = größe * 2")
    assert ran.footer.endswith(" · c, größe")
    assert kernel.run("c, größe").results == ["({'ü': [1, {'b': (2.5, None)}]}, 'üü')"]


def test_arrays_and_frames_go_over_and_come_back(kernel: LocalKernel):
    kernel.run(
        "import numpy as np, pandas as pd\nx = np.arange(6.0).reshape(2, 3)\nf = pd.DataFrame({'a': [1, 2]})"
    )
    kernel.run("%%homie -i x,f -o y,g\nx += 1\ny, g = x.T, f.assign(b=['p', None])")
    assert kernel.run("y.tolist(), g.b.tolist(), x[0, 0]").results == [
        "([[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]], ['p', nan], np.float64(0.0))"
    ]
    kernel.run("y[0, 0] = 7")


def test_what_is_large_goes_as_a_parcel_and_leaves_nothing_behind(kernel: LocalKernel):
    kernel.run("import numpy as np\nx = np.arange(1_000_000)")
    kernel.run("%%homie -i x -o y\nimport os\ny = x[::-1], os.listdir('.homie')")
    assert kernel.run("y[0][0], y[0].nbytes, y[1]").results == ["(np.int64(999999), 8000000, [])"]
    ran = kernel.run("%homie pull y")
    assert ran.footer.endswith(" · y")


def test_what_is_large_goes_with_the_first_cell_of_a_session(kernel: LocalKernel):
    kernel.run("import numpy as np\nx = np.arange(1_000_000)")
    kernel.run("%%homie --fresh -i x -o y\ny = int(x.sum())")
    assert kernel.run("y").results == ["499999500000"]


def test_functions_of_the_notebook_go_over(kernel: LocalKernel):
    kernel.run("factor = 3\ndef scaled(x):\n    return x * factor")
    kernel.run("%%homie -i scaled -o y\ny = scaled(14)")
    assert kernel.run("y").results == ["42"]


def test_what_is_no_data_does_not_come_back_and_the_rest_does(kernel: LocalKernel):
    ran = kernel.run("%%homie -o good,bad\ngood, bad = 1, [lambda: 0]", fine=False)
    assert ran.status == "error"
    assert "`bad` (bad[0]) cannot come from desk: a value of type function is no data" in ran.stream("stderr")
    assert "%homie trust desk" in ran.stream("stderr")
    assert kernel.run("good").results == ["1"]


def test_what_is_no_data_comes_back_of_who_is_trusted(kernel: LocalKernel, trusted):
    kernel.run("%%homie -o f\nf = lambda x: x + 1")
    assert kernel.run("f(1)").results == ["2"]


def test_a_value_that_stays_leaves_a_handle(kernel: LocalKernel):
    kernel.run("%%homie --keep big\nimport numpy as np\nbig = np.zeros((100, 1000))")
    assert kernel.run("big").results == ["<big on desk: numpy.ndarray, 100 x 1000, 781 KB>"]
    assert kernel.run("big.get().shape").results == ["(100, 1000)"]
    kernel.run("%%homie -i big -o n\nn = big.size")
    assert kernel.run("n").results == ["100000"]
    ran = kernel.run("%%homie --fresh -i big\npass", fine=False)
    assert "it stays on desk; `.get()` brings it here" in ran.stream("stderr")


def test_push_pull_and_expressions(kernel: LocalKernel):
    kernel.run("p, q = 20, 22")
    kernel.run("%homie push p, q")
    kernel.run("%%homie\nr = p + q")
    kernel.run("%homie pull r")
    assert kernel.run("r").results == ["42"]
    assert kernel.run("%homie {'r': r, 'half': r / 2}['half']").results == ["21.0"]
    assert kernel.run("twice = %homie r * 2\ntwice").results == ["84"]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%homie -i valeu\npass", "there is no variable `valeu` here; did you mean `value`?"),
        ("%%homie -i a-b\npass", "-i takes names of variables, such as `-i a,b`, not 'a-b'"),
        ("%%homie -i generator\npass", "`generator` (generator) cannot be sent: TypeError"),
        ("%%homie -o missing_there\npass", "`missing_there` cannot come from desk: NameError"),
        ("%%homie --keep missing_there\npass", "there is no variable `missing_there` on desk to be kept"),
        ("%homie pull missing_there", "`missing_there` cannot come from desk: NameError"),
        ("%homie session", "did you mean `%homie sessions`?"),
        ("%homie", "push NAMES"),
    ],
)
def test_what_is_wrong_is_said(kernel: LocalKernel, cell, said):
    kernel.run("value = 1\ngenerator = (n for n in ())")
    ran = kernel.run(cell, fine=False)
    assert ran.status == "error"
    assert said in ran.stream("stderr")
    assert "Traceback" not in ran.stream("stderr")


def test_a_name_that_is_here_and_not_there_says_how_to_send_it(kernel: LocalKernel):
    kernel.run("only_here = 1")
    ran = kernel.run("%%homie\nonly_here + 1", fine=False)
    assert ran.error["ename"] == "NameError"
    assert "`only_here` is here, not on desk: add `-i only_here`" in ran.stream("stderr")


def test_a_package_that_is_missing_there_is_named(kernel: LocalKernel, tmp_path):
    kernel.run(
        f"import os, sys\nsite = {str(tmp_path / 'site-packages')!r}\nos.mkdir(site)\nsys.path.insert(0, site)\n"
        "open(f'{site}/only_mine.py', 'w').write('class Thing: pass')\nimport only_mine\n"
        "thing = only_mine.Thing()"
    )
    ran = kernel.run("%%homie -i thing\nprint('never')", fine=False)
    assert "No module named 'only_mine'" in "".join(ran.error["traceback"])
    assert ran.stream() == ""


def test_values_are_not_taken_from_a_cell_that_fails(kernel: LocalKernel):
    kernel.run("z = 'mine'")
    assert kernel.run("%%homie -o z\nz = 'theirs'\n1 / 0", fine=False).error["ename"] == "ZeroDivisionError"
    assert kernel.run("z").results == ["'mine'"]


GB = 10**9
RESIDENT = "psutil.Process().memory_info().rss"


def resident(pair):
    """Memory of both daemons."""
    return [psutil.Process(Client(node.home).status().pid).memory_info().rss for node in (pair.laptop, pair.desk)]


def test_a_gigabyte_goes_and_comes_in_the_memory_of_one(kernel: LocalKernel, pair):
    kernel.run(
        "import numpy as np, psutil, resource\nPEAK = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss"
    )
    daemons = resident(pair)
    kernel.run(f"big = np.arange({GB // 8})\nbefore = {RESIDENT}")
    kernel.run("%%homie -s large --ram 4g -i big\nsum_there = int(big.sum())")
    assert int(kernel.run(f"{RESIDENT} - before").results[0]) < 0.1 * GB, "nothing is kept of what was sent"
    kernel.run("del big")
    before = int(kernel.run(RESIDENT).results[0])
    kernel.run("%%homie -s large -o big,sum_there\nbig += 1")
    assert 1024 * int(kernel.run("PEAK()").results[0]) - before < 1.3 * GB
    assert kernel.run("int(big.sum()) - sum_there == len(big)").results == ["True"]
    assert all(now - then < 0.1 * GB for now, then in zip(resident(pair), daemons, strict=True))
    kernel.run("del big")
    kernel.run("%homie end large")


def test_bubblewrap_takes_and_gives_them_too(base_image: str, tmp_path):
    with (
        Pair(desk={"sandbox": "bubblewrap"}) as pair,
        local_kernel(tmp_path, HOMIE_HOME=str(pair.laptop.home)) as kernel,
    ):
        kernel.run("x = bytearray(range(256)) * 20_000")
        kernel.run("%%homie -i x -o y,z --get 'f*'\ny, z = x[::-1], [1]\nopen('file', 'wb').write(x)")
        assert kernel.run("y == x[::-1], len(y), z").results == ["(True, 5120000, [1])"]
        assert (tmp_path / "homie-results/main-1/file").stat().st_size == 5_120_000


def test_what_is_too_large_for_the_disk_there_is_refused_either_way(start_kernel, pair, tmp_path):
    pair.desk.homie("config", "set", "container_disk_limit", "100m")
    pair.desk.homie("down")
    pair.desk.homie("up")
    pair.wait_until_found()
    with start_kernel(tmp_path) as kernel:
        kernel.run("big = bytes(200_000_000)")
        said = kernel.run("%%homie -i big\npass", fine=False).stream("stderr")
        assert "desk lends a job 100 MB of disk; these values are 191 MB; send less, or ask its owner" in said
        said = kernel.run("%%homie -o back\nback = bytes(900_000_000)", fine=False).stream("stderr")
        assert "`back` cannot come from desk: 858 MB are to come, and do not fit onto its disk" in said
        assert kernel.run("%%homie\nlen(back)").results == ["900000000"], "it is still there"
        kernel.run("%homie end")
