"""Attacks as programs: each prints `through` if it got through; all are small, a broken sandbox stays harmless.

They expect the limits of `SMALL`.
"""

from homie_core.model.job import Limits

MIB = 1 << 20
SMALL = Limits(cpus=0.2, memory=96 * MIB, timeout=20, pids=24, open_files=64, tmp=8 * MIB)

STATUS = "s = dict(l.split(':', 1) for l in open('/proc/self/status').read().splitlines())\n"


def through(condition: str, before: str = "") -> str:
    return f"{before}\nprint('through' if {condition} else 'stopped')"


def write(place: str, size: int) -> str:
    return through(
        "done",
        "done = True\ntry:\n"
        f"    with open('{place}/big', 'wb', buffering=0) as f:\n"
        f"        for _ in range({size // MIB}): f.write(bytes(1 << 20))\n"
        "except OSError: done = False",
    )


def syscall(number: int, *arguments: int) -> str:
    return through(
        f"libc.syscall({', '.join(map(str, (number, *arguments)))}) >= 0 or ctypes.get_errno() not in (1, 38)",
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)",
    )


ATTACKS = {
    "be_root": through("os.getuid() == 0", "import os"),
    "learn_the_host's_name": through("socket.gethostname() != 'homie'", "import socket"),
    "find_an_interface": through("any(n.startswith('eth') for _, n in socket.if_nameindex())", "import socket"),
    "write_outside": write("/var/tmp", MIB),
    "hold_capabilities": through("int(s['CapBnd'], 16) or int(s['CapEff'], 16)", STATUS),
    "gain_privileges": through("s['NoNewPrivs'].strip() != '1'", STATUS),
    "io_uring": syscall(425, 1, 0),
    "take_memory": through(
        "r == 0",
        "import subprocess, sys\n"
        "r = subprocess.run([sys.executable, '-S', '-c', 'b\"x\" * (130 << 20)'], check=False).returncode",
    ),
    "fill_shm": write("/dev/shm", 56 * MIB),
    "fill_tmp": write("/tmp", 12 * MIB),
    "fill_tmp_with_files": through(
        "done",
        "done = True\ntry:\n    for i in range(10_500): open(f'/tmp/{i}', 'w').close()\n"
        "except OSError: done = False",
    ),
    "take_cpu": through(
        "(time.process_time() - c) / (time.monotonic() - t) > 0.5",
        "import time\nt, c = time.monotonic(), time.process_time()\nwhile time.monotonic() < t + 1: pass",
    ),
    "fork": through(
        "made == 60",
        "import os, time\nmade = 0\ntry:\n    for _ in range(60):\n"
        "        if os.fork() == 0: time.sleep(5); os._exit(0)\n        made += 1\nexcept OSError: pass",
    ),
    "outlive_the_owner's_programs": through(
        "open('/proc/self/oom_score_adj').read().strip() != '1000'",
    ),
    "open_files": through(
        "done",
        "done = True\ntry: held = [open('/dev/null') for _ in range(100)]\nexcept OSError: done = False",
    ),
    "make_a_huge_file": through(
        "done",
        "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\ndone = True\n"
        "try: open('/tmp/huge', 'wb').truncate(65 << 30)\nexcept OSError: done = False",
    ),
    "dump_core": through("getrlimit(RLIMIT_CORE) != (0, 0)", "from resource import *"),
}
