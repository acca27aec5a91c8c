"""Files that go with a cell by a pattern, and come back after it, from a real sandbox on another node."""

import os
import re
from pathlib import Path

import psutil
import pytest
from local_kernel import LocalKernel

from homie_core.client import Client

pytestmark = [
    pytest.mark.docker,
    # jupyter_client on its way to a new event loop policy; nothing of ours
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
]

MB = 1 << 20


def came(folder: Path, footer: str) -> dict[str, bytes]:
    """Return what lies where the footer says that files came to."""
    where = folder / re.search(r" in (homie-results/[\w.-]+-\d+)$", footer)[1]
    return {path.relative_to(where).as_posix(): path.read_bytes() for path in where.rglob("*") if path.is_file()}


def test_a_pattern_takes_files_along_and_brings_others_back(kernel: LocalKernel, folder: Path):
    (folder / "in").mkdir()
    for name in ("a.txt", "b.txt", "c.dat"):
        (folder / "in" / name).write_text(name)
    ran = kernel.run(
        "%%homie -f 'in/*.txt' --get 'out/*.txt' --get run.sh\n"
        "import os, pathlib\n"
        "print(sorted(os.listdir('in')))\n"
        "for path in pathlib.Path('in').iterdir():\n"
        "    (pathlib.Path('out') / path.name).parent.mkdir(exist_ok=True)\n"
        "    (pathlib.Path('out') / path.name).write_text(path.read_text().upper())\n"
        "pathlib.Path('run.sh').write_text('true')\n"
        "os.chmod('run.sh', 0o755)"
    )
    assert ran.stream() == "['a.txt', 'b.txt']\n"
    assert came(folder, ran.footer) == {"out/a.txt": b"A.TXT", "out/b.txt": b"B.TXT", "run.sh": b"true"}
    assert "out/a.txt, out/b.txt, run.sh in homie-results/main-" in ran.footer
    (script,) = (folder / "homie-results").rglob("run.sh")
    assert script.stat().st_mode & 0o777 == 0o755


def test_each_time_is_a_folder_of_its_own_and_nothing_stays_behind(kernel: LocalKernel, folder: Path):
    first = kernel.run("%%homie --get version\nopen('version', 'w').write('1')")
    second = kernel.run("%%homie --get version\nopen('version', 'w').write('2')")
    assert came(folder, first.footer) == {"version": b"1"}
    assert came(folder, second.footer) == {"version": b"2"}
    kernel.run("%%homie -o left\nimport os\nleft = os.listdir('.homie'), os.stat('version').st_nlink")
    assert kernel.run("left").results == ["([], 1)"]


def test_folders_come_whole_and_links_are_not_followed_out(kernel: LocalKernel, folder: Path):
    ran = kernel.run(
        "%%homie --get 'tree*'\n"
        "import os, pathlib\n"
        "for name in ('tree/a', 'tree/.b', 'tree/deep/er/c', 'tree/__pycache__/d', 'forest'):\n"
        "    pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)\n"
        "    pathlib.Path(name).write_text(name)\n"
        "os.symlink('/etc/passwd', 'tree/passwd')\n"
        "os.symlink('/etc', 'tree/etc')\n"
        "os.symlink('deep', 'tree/shallow')\n"
        "os.symlink('../forest', 'tree/inside')\n"
        "os.mkfifo('tree/pipe')\n"
    )
    assert came(folder, ran.footer) == {
        "tree/a": b"tree/a",
        "tree/.b": b"tree/.b",
        "tree/deep/er/c": b"tree/deep/er/c",
        "tree/inside": b"forest",
    }
    assert ran.stream("stderr").splitlines() == [
        "homie: not taken: tree/etc: a link that leads out of the session's folder",
        "homie: not taken: tree/passwd: a link that leads out of the session's folder",
        "homie: not taken: tree/pipe: no regular file",
        "homie: not taken: tree/shallow: a link to a folder",
    ]


def test_a_pattern_without_a_file_is_told_and_loses_nothing(kernel: LocalKernel, folder: Path):
    before = set((folder / "homie-results").iterdir())
    ran = kernel.run("%%homie --get '*.nothing' --get kept -o x\nx = open('kept', 'w').write('k')", fine=False)
    assert ran.status == "error"
    said = ran.stream("stderr")
    assert re.search(r"\*\.nothing cannot come from desk: no file matches; there are .*\bkept\b", said)
    assert "Traceback" not in said
    assert kernel.run("x").results == ["1"]
    assert came(folder, ran.footer) == {"kept": b"k"}
    kernel.run("%%homie --get '*.nothing'\npass", fine=False)
    assert len(set((folder / "homie-results").iterdir()) - before) == 1, "what stays empty is removed"


@pytest.mark.parametrize("glob", ["/etc/*", "../*", "a/../b", "''"])
def test_a_pattern_that_leads_out_is_refused_before_anything_is_sent(kernel: LocalKernel, glob: str):
    ran = kernel.run(f"%%homie --get {glob}\nprint('never')", fine=False)
    assert "files are taken from the session's folder, by patterns such as 'out/*.png'" in ran.stream("stderr")
    assert ran.stream() == ""


def test_no_files_are_taken_from_a_cell_that_fails(kernel: LocalKernel, folder: Path):
    kernel.run("%%homie --get kept\nopen('kept', 'w').write('k')\n1 / 0", fine=False)
    ran = kernel.run("%%homie --get kept\npass")
    assert came(folder, ran.footer) == {"kept": b"k"}


def test_files_of_a_fresh_sandbox_come_before_it_ends(kernel: LocalKernel, folder: Path):
    ran = kernel.run("%%homie --fresh --get a\nopen('a', 'w').write('x'), open('b', 'w').write('y')")
    where = re.search(r" · a in (homie-results/fresh-\w+-1) · 2 files in (homie-results/\w+)$", ran.footer)
    assert [path.name for path in (folder / where[1]).iterdir()] == ["a"]
    assert sorted(path.name for path in (folder / where[2]).iterdir()) == ["a", "b"]


def resident(pair):
    """Memory of both daemons."""
    return [psutil.Process(Client(node.home).status().pid).memory_info().rss for node in (pair.laptop, pair.desk)]


def test_a_large_file_comes_in_little_memory(kernel: LocalKernel, folder: Path, pair):
    kernel.run(
        # not `ru_maxrss`, which begins with that of the process that started this one
        "import psutil\ndef PEAK():\n    status = open('/proc/self/status').read()\n"
        "    return 1024 * int(status.split('VmHWM:')[1].split()[0])\n"
        "before = psutil.Process().memory_info().rss"
    )
    daemons = resident(pair)
    ran = kernel.run(
        "%%homie --get large\nblock = bytes(range(256)) * 4096\n"
        "with open('large', 'wb') as file:\n    for _ in range(300): file.write(block)"
    )
    assert int(kernel.run("PEAK() - before").results[0]) < 64 * MB
    assert all(now - then < 64 * MB for now, then in zip(resident(pair), daemons, strict=True))
    assert "large in homie-results/main-" in ran.footer
    (large,) = (folder / "homie-results").rglob("large")
    assert large.stat().st_size == 300 * MB
    with large.open("rb") as file:
        file.seek(-512, os.SEEK_END)
        assert file.read() == bytes(range(256)) * 2
    large.unlink()
    kernel.run("%%homie\nimport os\nos.unlink('large')")


LIE = """%%homie --get 'lie*' -o honest
open('lie', 'w').write('lie')
import os, sys
Outgoing = sys.modules['homie_core.runner.outgoing'].Outgoing
honest, offer = 1, Outgoing.offer
def lies(self, globs):
    Outgoing.offer = offer
    said = offer(self, globs)
    (file,) = said['files']
    there = f".homie/{file['parcel']}"
    LIE
    return said
Outgoing.offer = lies
"""


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ("file['name'] = '../x'", "desk offers files that are none: unsafe file name '../x'"),
        ("file['name'] = '/tmp/x'", "desk offers files that are none: unsafe file name '/tmp/x'"),
        ("said['files'] *= 2", "two files of one job have the same name"),
        ("said['files'] *= 10_001", "desk sent values that are none"),
        ("file['size'] = 1", "lie: more than the 1 bytes that were announced"),
        ("file['size'] = 4", "lie: 3 of 4 bytes arrived"),
        ("file['size'] = 10**18", "of disk are free"),
        ("file['parcel'] = 'f' * 16", "lie: a parcel of the session: No such file or directory"),
        ("os.unlink(there); os.symlink('/etc/passwd', there)", "lie: a parcel of the session: Too many levels"),
        ("os.unlink(there); os.mkfifo(there)", "lie: what the session made is no parcel"),
        ("os.truncate('lie', 1)", "lie: 1 of 3 bytes arrived"),
    ],
)
def test_a_peer_that_lies_writes_nothing(kernel: LocalKernel, folder: Path, lie: str, said: str):
    before = sorted(folder.parent.rglob("*"))
    ran = kernel.run(LIE.replace("LIE", lie), fine=False)
    assert ran.status == "error"
    assert said in ran.stream("stderr")
    assert "Traceback" not in ran.stream("stderr")
    assert sorted(folder.parent.rglob("*")) == before


def test_a_long_one_shows_its_progress_and_can_be_stopped(kernel: LocalKernel, folder: Path):
    before = set(folder.rglob("*"))
    id = kernel.start("%%homie --get long -o x\nx = 1\nopen('long', 'w').truncate(2 << 30)")
    for message in kernel.messages_of(id):
        text = message["content"].get("data", {}).get("text/plain", "")
        if text.endswith("of 2.0 GB from desk"):
            kernel.interrupt()
            break
    ran = kernel.rest(id, fine=False)
    assert ran.error["ename"] == "KeyboardInterrupt"
    assert kernel.run("x").results == ["1"], "values had come already"
    kernel.run("%%homie --get short\nimport os\nos.unlink('long')\nopen('short', 'w').write('s')")
    new = [path.name for path in folder.rglob("*") if path not in before and path.is_file()]
    assert new == ["short"], "no half of a file stays"
