"""The attacks that must fail, one named test each, on every backend.

Caps are small, and each attack has an end of its own: should the sandbox be broken, this machine is not.
"""

import asyncio
import hashlib
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import pytest
from attack_scripts import ATTACKS, BUBBLEWRAP_ATTACKS, SMALL
from sandbox_lab import Lab, Result

from homie_core.model.job import FileRef, Limits
from homie_core.sandbox.base import Box
from homie_core.sandbox.disk import Disk
from homie_core.sandbox.link import Link
from homie_core.sandbox.program import program
from homie_core.store import workspace

pytestmark = pytest.mark.docker
MIB = 1 << 20
LIMITS = Limits(cpus=1, memory=96 * MIB, timeout=20, pids=32, tmp=8 * MIB, disk=20 * MIB, inodes=2000)
KINDS = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of system calls are those of x86_64")


async def tell(lab: Lab, source: str, limits: Limits = LIMITS) -> Any:
    """Run a program that prints JSON; return that."""
    result = await lab.run(source, limits=limits)
    assert result.err == b""
    return json.loads(result.out)


@pytest.mark.parametrize(
    "attack",
    [
        "be_root", "learn_the_host's_name", "find_an_interface", "write_outside", "hold_capabilities",
        "gain_privileges", pytest.param("io_uring", marks=KINDS), "fill_tmp", "dump_core",
        "be_in_root's_group", "inherit_capabilities", "make_a_user_namespace", "see_the_host's_processes",
        "hold_the_daemon's_files",
    ],
)  # fmt: skip
async def test_small_attack(lab: Lab, attack: str) -> None:
    script = {**ATTACKS, **BUBBLEWRAP_ATTACKS}[attack]
    assert (await lab.run(script, limits=SMALL)).out == b"stopped\n"


async def test_the_runners_streams_are_not_the_jobs(lab: Lab) -> None:
    """An engine's are: it gives them to the user whom it runs. A job only spoils itself so (docs/security.md)."""
    piped = not lab.backend.name.startswith("docker")
    result = await lab.run(ATTACKS["speak_for_the_runner"], limits=SMALL)
    assert result.out == (b"stopped\n" if piped else b"through\n")


async def test_tmp_filled_with_files(lab: Lab) -> None:
    """bubblewrap and Podman have no cap for that (docs/security.md): there, only the job's memory is."""
    capped = lab.backend.name.startswith("docker")
    result = await lab.run(ATTACKS["fill_tmp_with_files"], limits=SMALL)
    assert result.out == (b"stopped\n" if capped else b"through\n")


async def test_dev_shm_filled(lab: Lab) -> None:
    """Whatever the file system allows, it is the job's memory."""
    result = await lab.run(ATTACKS["fill_shm"].replace("56", "150"), limits=SMALL)
    assert result.out != b"through\n"


async def test_cpu_hog_beside_a_second_job(lab: Lab) -> None:
    limits = Limits(cpus=0.3, memory=64 * MIB, timeout=20)
    hog = (
        "import time\nt, c = time.monotonic(), time.process_time()\nwhile time.monotonic() < t + 1.5: pass\n"
        "print((time.process_time() - c) / (time.monotonic() - t) < 0.5)"
    )
    both = await asyncio.gather(lab.run(hog, limits=limits), lab.run(hog, limits=limits))
    assert [result.out for result in both] == [b"True\n"] * 2


async def test_writing_to_every_mount(lab: Lab) -> None:
    source = (
        "import json, os\nfound = []\n"
        "for line in open('/proc/self/mounts'):\n"
        "    place = line.split()[1]\n"
        "    if place.startswith(('/proc', '/sys')): continue\n"
        "    path = place + '/x' if os.path.isdir(place) else place\n"
        "    if not os.path.isdir(place) and place.startswith('/dev/'): continue\n"
        "    try: open(path, 'a').close()\n    except OSError: continue\n"
        "    found.append(place)\n"
        "print(json.dumps(sorted(found)))"
    )
    assert set(await tell(lab, source)) <= {"/work", "/spool", "/tmp", "/dev/shm", "/dev/mqueue"}


async def test_files_shared_memory_and_processes_of_another_job(lab: Lab) -> None:
    marker = "marker-of-the-first-job"
    first = (
        "import time\n"
        f"for place in ('/tmp', '/dev/shm', '/work', '/spool'): open(place + '/{marker}', 'w').close()\n"
        "print('there', flush=True)\ntime.sleep(20)"
    )
    second = (
        "import json, os\n"
        "pids = sorted(int(p) for p in os.listdir('/proc') if p.isdigit())\n"
        f"found = [w for w, _, names in os.walk('/') if {marker!r} in names]\n"
        "print(json.dumps([found, len(pids)]))"
    )
    sandbox, link = await lab.start(lab.box(first, LIMITS))
    try:
        async for record in link:
            if b"there" in getattr(record.fact, "data", b""):
                break
        assert await tell(lab, second) == [[], 2]
    finally:
        await sandbox.remove()


async def test_the_hosts_secrets_in_environment_and_proc(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMIE_TEST_SECRET", "s3cr3t-of-the-host")
    source = (
        "import json, os\nfound = []\n"
        "for place in ('self', '1'):\n"
        "    for name in ('environ', 'cmdline', 'mountinfo'):\n"
        "        try: text = open(f'/proc/{place}/{name}').read()\n"
        "        except OSError: continue\n"
        "        if 's3cr3t-of-the-host' in text: found.append((place, name))\n"
        "print(json.dumps([found, [n for n in os.environ if 'SECRET' in n or 'SSH' in n or 'DOCKER' in n]]))"
    )
    assert await tell(lab, source) == [[], []]


async def test_fork_bomb(lab: Lab) -> None:
    assert (await lab.run(ATTACKS["fork"], limits=SMALL)).out == b"stopped\n"


async def test_memory_hog_in_a_child(lab: Lab) -> None:
    assert (await lab.run(ATTACKS["take_memory"], limits=SMALL)).out == b"stopped\n"


async def test_memory_hog(lab: Lab) -> None:
    result = await lab.run("x = b'x' * (160 << 20); print('through')", limits=LIMITS)
    assert result.out == b""
    assert result.status != 0


async def on_disk(lab: Lab, source: str) -> Result:
    """Run it with a disk of its own, as a daemon does."""
    spec, result = lab.spec(source), Result()
    folder = lab.folder / spec.id
    disk = await Disk.make(folder, LIMITS, lab.backend.uid, lab.backend.gid)
    try:
        assert disk.exact == (os.getuid() == 0)
        digest = hashlib.sha256(source.encode()).hexdigest()
        (lab.folder / digest).write_text(source)
        workspace.lay_out(folder, spec.files, lab.folder, lab.backend.uid, lab.backend.gid)
        box = box_at(folder, spec.id)
        sandbox = await lab.backend.create(box)
        try:
            link = Link(*await sandbox.start())
            await link.connect()
            await link.start(program(spec, LIMITS))
            async for record in link:
                result.add(record)
                await link.ack(record.seq)
            result.end = await sandbox.end()
        finally:
            await sandbox.remove()
    finally:
        await disk.remove()
        workspace.remove(folder)
    return result


def box_at(folder: Path, job: str) -> Box:
    return Box(node="0" * 64, job=job, limits=LIMITS, folder=folder)


@pytest.mark.skipif(os.getuid() != 0, reason="without root the cap is a watcher: tests/sandbox/test_disk.py")
async def test_disk_filled_in_the_work_folder(lab: Lab) -> None:
    source = (
        "done = 0\nwith open('big', 'wb', buffering=0) as f:\n    try:\n"
        "        while done < 100 << 20: done += f.write(bytes(1 << 20))\n"
        "    except OSError as e: print(e.strerror, 20 <= done >> 20 <= 26, flush=True)\n"
        "print('the spool still has room')"
    )
    result = await on_disk(lab, source)
    assert result.out == b"No space left on device True\nthe spool still has room\n"
    assert result.status == 0


@pytest.mark.skipif(os.getuid() != 0, reason="without root the cap is a watcher: tests/sandbox/test_disk.py")
async def test_a_million_inodes(lab: Lab) -> None:
    source = (
        "n = 0\ntry:\n    for n in range(5000): open(f'f{n}', 'w').close()\n"
        "except OSError as e: print(e.strerror, n <= 2000)"
    )
    assert (await on_disk(lab, source)).out == b"No space left on device True\n"


async def test_file_descriptors_are_exhausted(lab: Lab) -> None:
    assert (await lab.run(ATTACKS["open_files"], limits=SMALL)).out == b"stopped\n"


async def test_a_grandchild_in_its_own_session_ignores_the_deadline(lab: Lab) -> None:
    source = (
        "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: os.setsid()\n"
        "time.sleep(30)\nopen('/work/late', 'w').close()"
    )
    began = time.monotonic()
    result = await lab.run(source, limits=Limits(cpus=1, memory=64 * MIB, timeout=0.5))
    assert result.program
    assert result.program.deadline
    assert time.monotonic() - began < 10
    assert result.collected
    assert "late" not in {file.name for file in result.collected.files}


async def test_connecting_anywhere(lab: Lab) -> None:
    source = (
        "import errno, json, os, socket\ndef reach(address):\n"
        "    with socket.socket() as s:\n        s.settimeout(2)\n"
        "        try: s.connect(address)\n"
        "        except OSError as e: return errno.errorcode.get(e.errno, 'timeout')\n"
        "    return 'reached'\n"
        "print(json.dumps([reach((h, 80)) for h in ('192.168.0.1', '172.17.0.1', '10.0.0.1', '169.254.169.254')]\n"
        " + [os.path.exists(p) for p in ('/var/run/docker.sock', '/run/docker.sock')]))"
    )
    assert await tell(lab, source) == ["ENETUNREACH"] * 4 + [False] * 2


CALLS = {
    "unshare": (272, 0x10000000), "mount": (165, 0, 0, 0, 0, 0), "bpf": (321, 0, 0, 0), "keyctl": (250, 0, 0, 0),
    "io_uring_setup": (425, 1, 0), "userfaultfd": (323, 1), "ptrace of the runner": (101, 16, 1, 0, 0),
    "read the runner's memory": (310, 1, 0, 0, 0, 0, 0),
}  # fmt: skip


@KINDS
@pytest.mark.parametrize("call", CALLS)
async def test_system_call(lab: Lab, call: str) -> None:
    source = (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        f"print(libc.syscall({', '.join(map(str, CALLS[call]))}), ctypes.get_errno() in (1, 13, 38))"
    )
    assert (await lab.run(source)).out == b"-1 True\n"


async def test_af_vsock(lab: Lab) -> None:
    source = "import socket\ntry: socket.socket(40, 1); print('through')\nexcept OSError: print('stopped')"
    assert (await lab.run(source)).out == b"stopped\n"


async def test_a_setuid_copy_gives_nothing(lab: Lab) -> None:
    source = (
        "import json, os, shutil, subprocess\n"
        "shutil.copy('/usr/bin/id', '/work/id'); os.chmod('/work/id', 0o6755)\n"
        "print(json.dumps(int(subprocess.check_output(['/work/id', '-u']))))"
    )
    assert await tell(lab, source) == lab.backend.uid


async def test_names_in_the_outputs(lab: Lab, tmp_path: Path) -> None:
    decoy = tmp_path / "decoy"
    decoy.write_text("the owner's")
    source = (
        f"import os, socket\nos.symlink({str(decoy)!r}, 'link'); os.symlink('/', 'folder')\n"
        "open('real', 'w').write('r'); os.link('real', 'hard')\nos.mkfifo('pipe')\n"
        "socket.socket(socket.AF_UNIX).bind('socket')\n"
        "open(b'not-\\xff-utf8', 'w').close(); open('new\\nline', 'w').close()\n"
        "os.mkdir('closed'); open('closed/x', 'w').close(); os.chmod('closed', 0)\n"
        "for _ in range(400): os.mkdir('d'); os.chdir('d')\n"
    )
    box, result = lab.box(source, LIMITS), Result()
    sandbox, link = await lab.start(box)
    try:
        async for record in link:
            result.add(record)
            await link.ack(record.seq)
        await sandbox.end()
    finally:
        await sandbox.remove()
    assert (result.err, result.status) == (b"", 0)
    began = time.monotonic()
    collected = workspace.collect(box.folder, (), {}, tmp_path / "results")
    assert time.monotonic() - began < 5
    names = {file.name for file in collected.files}
    assert names - {"closed/x"} == {"main.py", "real", "hard"}, "as root, the closed folder is read"
    assert decoy.read_text() == "the owner's"
    assert FileRef(name="x", digest=hashlib.sha256(b"the owner's").hexdigest(), size=11).digest not in {
        file.digest for file in collected.files
    }
    workspace.remove(box.folder)
    assert not box.folder.exists()
