"""What a job cannot do, tried from inside a real container: one test per attack."""

import contextlib
import json
import platform
from typing import Any

import docker
import pytest
from sandbox_lab import LIMITS, Lab

from homie_core.model.job import Limits
from homie_core.sandbox.link import ProgramEnd

pytestmark = pytest.mark.docker
docker_only = pytest.mark.parametrize("prepared", ["docker"], indirect=True)

MIB = 1 << 20


async def tell(lab: Lab, source: str, limits: Limits = LIMITS) -> Any:
    """Run a program that prints JSON; return that."""
    result = await lab.run(source, limits=limits)
    assert result.err == b""
    return json.loads(result.out)


async def test_it_is_nobody_and_may_nothing(lab: Lab) -> None:
    told = await tell(
        lab,
        "import getpass, grp, json, os, pwd\n"
        "status = dict(l.split(':', 1) for l in open('/proc/self/status').read().splitlines())\n"
        "print(json.dumps({'ids': os.getresuid() + os.getresgid() + tuple(os.getgroups()),"
        "'user': getpass.getuser(),"
        "'name': pwd.getpwuid(os.getuid()).pw_name, 'group': grp.getgrgid(os.getgid()).gr_name,"
        "'status': [status[k].strip() for k in"
        " ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp')],"
        "'adj': open('/proc/self/oom_score_adj').read().strip()}))",
    )
    assert set(told["ids"]) == {lab.backend.uid}
    assert lab.backend.uid != 0
    assert (told["user"], told["name"], told["group"]) == ("job", "job", "job")
    assert told["status"] == ["0" * 16] * 5 + ["1", "2"]
    assert told["adj"] == "1000"


async def test_no_network(lab: Lab) -> None:
    told = await tell(
        lab,
        "import json, socket, errno\n"
        "def reach(family, address):\n"
        "    try:\n        with socket.socket(family, socket.SOCK_DGRAM) as s: s.connect(address)\n"
        "    except OSError as e: return errno.errorcode[e.errno]\n"
        "    return 'reached'\n"
        "print(json.dumps({'interfaces': [n for _, n in socket.if_nameindex()],"
        "'v4': reach(socket.AF_INET, ('1.1.1.1', 53)), 'bridge': reach(socket.AF_INET, ('172.17.0.1', 53)),"
        "'v6': reach(socket.AF_INET6, ('2606:4700::1', 53)), 'lo': reach(socket.AF_INET, ('127.0.0.1', 53)),"
        "'localhost': socket.gethostbyname('localhost'), 'self': socket.gethostbyname(socket.gethostname())}))",
    )
    assert set(told["interfaces"]) - {"tunl0", "sit0", "ip6tnl0", "gre0"} == {"lo"}
    assert (told["v4"], told["bridge"]) == ("ENETUNREACH", "ENETUNREACH")
    assert told["v6"] in ("ENETUNREACH", "EADDRNOTAVAIL")
    assert (told["lo"], told["localhost"], told["self"]) == ("reached", "127.0.0.1", "127.0.0.1")


async def test_only_its_own_places_can_be_written(lab: Lab) -> None:
    told = await tell(
        lab,
        "import json, os\n"
        "def writable(path):\n"
        "    try: open(path + '/x', 'w').close()\n"
        "    except OSError: return False\n"
        "    return True\n"
        "found = []\n"
        "for where, folders, _ in os.walk('/'):\n"
        "    if where in ('/proc', '/sys'): folders.clear()\n"
        "    elif writable(where): found.append(where)\n"
        "print(json.dumps(found))",
    )
    assert set(told) - {"/dev/mqueue"} == {"/work", "/spool", "/tmp", "/dev/shm"}


async def test_no_engine_socket_and_nothing_of_the_host(lab: Lab) -> None:
    told = await tell(
        lab,
        "import json, os\n"
        "places = ('/var/run/docker.sock', '/run/docker.sock')\n"
        "print(json.dumps({'sockets': [place for place in places if os.path.exists(place)],"
        "'env': sorted(os.environ), 'processes': sorted(int(p) for p in os.listdir('/proc') if p.isdigit()),"
        "'one': open('/proc/1/cmdline').read().split('\\0')[0], 'fds': sorted(os.listdir('/proc/self/fd'))}))",
    )
    assert told["sockets"] == []
    assert told["one"] == "python3"
    assert len(told["processes"]) == 2
    assert len(told["fds"]) == 4, "standard streams and the listing's own"
    unexpected = {name for name in told["env"] if "PROXY" in name.upper() or "DOCKER" in name}
    assert unexpected == set()


CALLS = """
import ctypes, json, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    ctypes.set_errno(0)
    result = libc.syscall(*(ctypes.c_long(a) for a in arguments))
    return "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]
def make(*arguments):
    try: socket.socket(*arguments).close()
    except OSError as e: return errno.errorcode[e.errno]
    return "ok"
CLONE_NEWUSER = 0x10000000
print(json.dumps({
    "unshare": call(272, CLONE_NEWUSER),
    "clone": call(56, CLONE_NEWUSER | 17, 0, 0, 0, 0),
    "clone3": call(435, 0, 0),
    "setns": call(308, 0, 0),
    "io_uring_setup": call(425, 1, 0),
    "userfaultfd": call(323, 1),
    "bpf": call(321, 0, 0, 0),
    "keyctl": call(250, 0, 0, 0),
    "add_key": call(248, 0, 0, 0, 0, 0),
    "request_key": call(249, 0, 0, 0, 0),
    "mount": call(165, 0, 0, 0, 0, 0),
    "umount2": call(166, 0, 0),
    "fsopen": call(430, 0, 0),
    "pivot_root": call(155, 0, 0),
    "ptrace": call(101, 0, 0, 0, 0),
    "process_vm_readv": call(310, 1, 0, 0, 0, 0, 0),
    "kcmp": call(312, 1, 1, 0, 0, 0),
    "perf_event_open": call(298, 0, 0, 0, 0, 0),
    "open_by_handle_at": call(304, 0, 0, 0),
    "syslog": call(103, 3, 0, 0),
    "personality": call(135, 0x40000),
    "personality_ask": call(135, 0xffffffff),
    "vsock": make(40, socket.SOCK_STREAM),
    "alg": make(38, socket.SOCK_SEQPACKET),
    "packet": make(17, socket.SOCK_RAW),
    "netfilter": make(16, socket.SOCK_RAW, 12),
    "route": make(16, socket.SOCK_RAW, 0),
    "unix": make(1, socket.SOCK_STREAM),
    "tcp": make(2, socket.SOCK_STREAM),
    "icmp": make(2, socket.SOCK_RAW, 1),
    "getpid": call(39),
}))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of system calls are those of x86_64")
async def test_dangerous_system_calls_are_refused(lab: Lab) -> None:
    told = await tell(lab, CALLS)
    allowed = {name for name, said in told.items() if said == "ok"}
    assert allowed == {"personality_ask", "route", "unix", "tcp", "getpid"}
    assert told.pop("clone3") == "ENOSYS", "so that every C library falls back to clone"
    assert {said for name, said in told.items() if name not in allowed} <= {"EPERM", "EACCES"}


async def test_threads_processes_and_async_still_work(lab: Lab) -> None:
    told = await tell(
        lab,
        "import asyncio, json, multiprocessing, subprocess, threading\n"
        "def inner():\n    return 7\n"
        "async def main():\n"
        "    p = await asyncio.create_subprocess_exec('echo', 'hi', stdout=-1)\n"
        "    return (await p.communicate())[0].decode()\n"
        "if __name__ == '__main__':\n"
        "    t = threading.Thread(target=inner); t.start(); t.join()\n"
        "    with multiprocessing.get_context('spawn').Pool(2) as pool: squares = pool.map(abs, [-1, -2])\n"
        "    print(json.dumps([squares, asyncio.run(main()), subprocess.check_output(['id', '-un']).decode()]))",
    )
    assert told == [[1, 2], "hi\n", "job\n"]


async def test_memory_is_capped_and_the_flag_says_so(lab: Lab) -> None:
    result = await lab.run("x = b'x' * (200 << 20)", limits=Limits(cpus=1, memory=64 * MIB, timeout=20))
    assert result.program
    assert result.program.signal == 9
    assert result.end
    assert result.end.out_of_memory


async def test_a_child_that_used_all_memory_is_noticed_though_the_status_is_0(lab: Lab) -> None:
    source = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'b\"x\" * (200 << 20)'])"
    result = await lab.run(source, limits=Limits(cpus=1, memory=64 * MIB, timeout=20))
    assert result.status == 0
    assert result.end
    assert result.end.out_of_memory


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm"])
async def test_memory_backed_files_are_capped(lab: Lab, place: str) -> None:
    source = (
        "import os\ndone = 0\n"
        f"with open('{place}/big', 'wb', buffering=0) as f:\n"
        "    try:\n        while True: done += f.write(bytes(1 << 20))\n"
        "    except OSError as e: print(e.strerror, done >> 20)"
    )
    result = await lab.run(source, limits=Limits(cpus=1, memory=128 * MIB, timeout=20, tmp=16 * MIB))
    assert result.out == b"No space left on device %d\n" % (16 if place == "/tmp" else 64)


@docker_only
async def test_many_small_files_in_tmp_are_capped(lab: Lab) -> None:
    source = (
        "try:\n    for i in range(20_000): open(f'/tmp/{i}', 'w').close()\n"
        "except OSError as e: print(e.strerror, i < 11_000)"
    )
    assert (await lab.run(source)).out == b"No space left on device True\n"


async def test_cpu_is_capped(lab: Lab) -> None:
    source = (
        "import time\nt = time.monotonic()\nwhile time.monotonic() < t + 1: pass\n"
        "print(time.process_time() / (time.monotonic() - t))"
    )
    result = await lab.run(source, limits=Limits(cpus=0.2, memory=64 * MIB, timeout=20))
    assert float(result.out) < 0.35


async def test_fork_bomb_stays_small_and_goes(lab: Lab) -> None:
    source = (
        "import os, time\nmade = 0\n"
        "try:\n"
        "    for _ in range(500):\n"
        "        if os.fork() == 0:\n            os.setsid(); time.sleep(60)\n"
        "        made += 1\n"
        "except OSError as e: print(e.strerror, made)"
    )
    result = await lab.run(source, limits=Limits(cpus=1, memory=128 * MIB, timeout=20, pids=32))
    assert result.out == b"Resource temporarily unavailable %d\n" % (32 - 2)
    assert result.status == 0
    assert result.end
    assert result.end.exit_code == 0


async def test_open_files_are_capped(lab: Lab) -> None:
    source = "from resource import *; print(getrlimit(RLIMIT_NOFILE), getrlimit(RLIMIT_CORE))"
    assert (await lab.run(source)).out == b"(1024, 1024) (0, 0)\n"


async def test_deadline_ends_even_what_hides(lab: Lab) -> None:
    source = (
        "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if os.fork() == 0: os.setsid()\n"
        "while True: time.sleep(1)"
    )
    result = await lab.run(source, limits=Limits(cpus=1, memory=64 * MIB, timeout=0.5))
    assert result.program
    assert (result.program.signal, result.program.deadline) == (9, True)
    assert result.end
    assert result.end.exit_code == 0, "the runner had the last word"


async def test_the_runner_cannot_be_killed_or_stopped_from_inside(lab: Lab) -> None:
    source = (
        "import os, signal\n"
        "for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGINT): os.kill(1, number)\n"
        "print('it lives')"
    )
    result = await lab.run(source)
    assert (result.out, result.status) == (b"it lives\n", 0)


async def test_spool_removed_by_the_job_costs_nothing(lab: Lab) -> None:
    source = (
        "import os, shutil\nprint('before', flush=True)\n"
        "for name in os.listdir('/spool'): os.unlink('/spool/' + name)\n"
        "os.mkfifo('/spool/00000000000000000001')\nprint('after')"
    )
    assert (await lab.run(source)).out == b"before\nafter\n"


@docker_only
async def test_background_processes_end_before_the_last_record(lab: Lab) -> None:
    source = (
        "import os, time\n"
        "if os.fork() == 0:\n    os.setsid(); time.sleep(60); open('/work/late', 'w').close()\nprint('done')"
    )
    sandbox, link = await lab.start(lab.box(source))
    try:
        *_, last = [record async for record in link]
        assert last.fact == ProgramEnd(status=0, signal=None, deadline=False)
        with contextlib.closing(docker.from_env()) as client:
            assert len(client.api.top(sandbox._container)["Processes"]) == 1
    finally:
        await sandbox.remove()
