"""`%%homie --dry-run` names every byte that would leave, and none does: in a real notebook's kernel."""

import re

import pytest
from local_kernel import LocalKernel, local_kernel
from pair import Pair
from recording import Recording

from homie_core.model.session import Cell, Input
from homie_core.model.wire import decode

pytestmark = [
    pytest.mark.docker,
    # jupyter_client on its way to a new event loop policy; nothing of ours
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
]

BODY = "\nimport os\ntotal = sum(small) + len(large)\n# ü"


@pytest.fixture(scope="module")
def recorded(base_image: str, tmp_path_factory):
    pair = Pair(desk={"container_cpu_limit": "1", "container_disk_limit": "1g"})
    recording = Recording(pair.laptop, tmp_path_factory.mktemp("recording"))
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "data").mkdir()
    for name in ("a.csv", "b.csv"):
        (folder / "data" / name).write_text(name * 1000)
    with pair, local_kernel(folder, HOMIE_HOME=str(pair.laptop.home)) as kernel:
        kernel.run("small, large = [1, 2], bytearray(5_000_000)")
        yield kernel, recording


def would_leave(kernel: LocalKernel, line: str) -> tuple[str, dict[str, int]]:
    """Return what the cell says on a dry run: all of it, and the bytes by what they are."""
    said = kernel.run(f"%%homie --dry-run {line}{BODY}").stream()
    named = {
        what: int(size.replace(" ", "")) for size, what in re.findall(r"^ *([\d ]+) bytes  (.*)$", said, re.M)
    }
    assert named.pop("together") == sum(named.values())
    return said, named


def left(recording: Recording) -> dict[str, int]:
    """Return the bytes that left since, by the way that they took."""
    ways = {"request": 0, "files": 0, "values": 0, "cell": 0, "names": 0}
    for each in recording.sent():
        if each["path"] == "told":
            told = decode(bytes.fromhex(each["hex"]), Input).what
            ways["cell"] += len(told.data) if isinstance(told, Cell) else 0
        else:
            way = {"inputs": "files", "parcels": "values", "expect": "names", "place": "names"}
            key = "request" if each["path"] == "/jobs" else way[each["path"].split("/")[3]]
            ways[key] += each["length"]
    return ways


def test_of_a_new_session_with_files_and_values(recorded):
    kernel, recording = recorded
    kernel.run("%homie end", fine=False)
    recording.clear()
    line = "-f 'data/*.csv' -i small,large -o total --cpus 0.5 --ram 512M"
    said, named = would_leave(kernel, line)
    assert recording.sent() == []
    assert said.startswith("to desk: ")
    assert named["data/a.csv"] == named["data/b.csv"] == 5000
    (values,) = (size for what, size in named.items() if what.startswith("the values of small ("))
    assert values > 5_000_000

    kernel.run(f"%%homie {line}{BODY}")
    ways = left(recording)
    assert ways["request"] == named["the request: what is asked for, arguments, names and digests of files"]
    assert (ways["files"], ways["values"]) == (10_000, values)
    assert 0 <= ways["cell"] - named["the cell and its options"] <= 1, "its number may have a digit more"


def test_of_a_session_that_is_open(recorded):
    kernel, recording = recorded
    kernel.run("%%homie\npass")
    kernel.run("open('new.txt', 'w').write('new')")
    recording.clear()
    line = "-f new.txt -i small,large"
    said, named = would_leave(kernel, line)
    assert recording.sent() == []
    assert said.startswith("to desk: the session main is open there\n")
    kernel.run(f"%%homie {line}{BODY}")
    ways = left(recording)
    assert ways["names"] == named["names and digests of files, twice"]
    assert ways["files"] == named["new.txt, unless it is there already"] == 3
    assert 0 <= sum(ways.values()) - sum(named.values()) <= 1, "the cell's number may have a digit more"


def test_why_says_where_and_why_and_who_not_and_nothing_leaves(recorded):
    kernel, recording = recorded
    kernel.run("%homie end", fine=False)
    recording.clear()
    fresh = kernel.run("%homie why --cpus 0.5").stream()
    assert re.fullmatch(r"to desk: \d+ cores, \d+ % busy, .* of memory free\n", fresh), fresh
    assert "desk: lends a job at most 1 cores" in kernel.run("%homie why --cpus 64", fine=False).stream("stderr")
    assert "`%homie why` takes options only, not 'desk'" in (
        kernel.run("%homie why desk", fine=False).stream("stderr")
    )
    assert recording.sent() == []
    kernel.run("%%homie\npass")
    said = kernel.run("%homie why").stream()
    assert re.fullmatch(r"to desk: the session main is open there \(\d+ cores, .*\)\n", said), said
    assert kernel.run("%homie why --fresh").stream().startswith("to desk: ")


def test_where_nobody_could_take_it_is_an_error(recorded):
    kernel, _ = recorded
    ran = kernel.run("%%homie --dry-run --fresh --cpus 64\npass", fine=False)
    assert "no peer can take this job. desk: lends a job at most 1 cores" in ran.stream("stderr")
    ran = kernel.run("%%homie --dry-run -i nothing\npass", fine=False)
    assert "there is no variable `nothing` here" in ran.stream("stderr")
