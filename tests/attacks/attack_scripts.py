"""Attacks as programs: each prints `through` if it got through; all are small, a broken sandbox stays harmless.

They expect the limits of `SMALL`.
"""

from msgspec.structs import replace

from homie_core.model.job import Limits

MIB = 1 << 20
SMALL = Limits(cpus=1, memory=96 * MIB, timeout=20, pids=24, open_files=64, tmp=8 * MIB)

FACTS = "import json, sys\nhost = json.loads(sys.argv[1])\n"
"""What an attack must know of the host: the fields of `Exposed`."""
STATUS = "s = dict(l.split(':', 1) for l in open('/proc/self/status').read().splitlines())\n"


def limits_for(attack: str) -> Limits:
    """Return what the attack meets: a small share of the processor only where that is the point."""
    return replace(SMALL, cpus=0.05) if attack == "take_cpu" else SMALL


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
    "speak_for_the_runner": through(
        "[way for way in ways for how in (os.O_RDONLY, os.O_WRONLY) if opens(way, how)]",
        "import os\n"
        "ways = [f'/proc/1/fd/{n}' for n in range(3)] + [f'/homie/pipes/{n}' for n in ('in', 'out', 'errors')]\n"
        "def opens(way, how):\n"
        "    for attempt in (lambda: os.chmod(way, 0o666), lambda: os.open(way, how | os.O_NONBLOCK)):\n"
        "        try: attempt()\n"
        "        except OSError: done = False\n"
        "        else: done = True\n"
        "    return done",
    ),
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
        "taken > 0.09",
        "import time\ntaken, tries = 0, 4\n"
        "while taken < 0.09 and tries:\n"  # it may have to share with whatever else runs here
        "    t, c, tries = time.monotonic(), time.process_time(), tries - 1\n"
        "    while time.monotonic() < t + 0.5: pass\n"
        "    taken = (time.process_time() - c) / (time.monotonic() - t)",
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
    "hold_the_daemon's_files": through(
        "[fd for fd in range(3, 64) if os.path.exists(f'/proc/self/fd/{fd}')]", "import os"
    ),
    "dump_core": through("getrlimit(RLIMIT_CORE) != (0, 0)", "from resource import *"),
}

BUBBLEWRAP_ATTACKS = {
    "be_in_root's_group": through("os.getgid() == 0", "import os"),
    "keep_the_daemon's_groups": through("os.getgroups()", "import os"),
    "inherit_capabilities": through("int(s['CapInh'], 16)", STATUS),
    "make_a_user_namespace": through("libc.unshare(0x10000000) == 0", "import ctypes\nlibc = ctypes.CDLL(None)"),
    "reach_the_host": through(
        "reached",
        FACTS + "import socket\nreached = True\n"
        "try: socket.create_connection(('127.0.0.1', host['port']), 2)\nexcept OSError: reached = False",
    ),
    "find_the_host's_shared_memory": through(
        "ctypes.CDLL(None).shmget(host['shared_memory'], 0, 0) >= 0", FACTS + "import ctypes"
    ),
    "share_the_host's_control_groups": through(
        "os.readlink('/proc/self/ns/cgroup') == host['control_groups']", FACTS + "import os"
    ),
    "list_the_owner's_keys": through(
        "host['key'] in keys", FACTS + "try: keys = open('/proc/keys').read()\nexcept OSError: keys = ''"
    ),
    "read_the_owner's_environment": through("host['secret'] in str(os.environ)", FACTS + "import os"),
    "see_the_host's_processes": through("len([p for p in os.listdir('/proc') if p.isdigit()]) > 3", "import os"),
    "signal_the_launcher": through("os.getsid(0) == 0", "import os"),  # by its process group
    "kill_the_runner": (
        "import os, signal, time\nchild = os.fork()\n"
        "if child: os.waitpid(child, 0); os._exit(0)\n"
        "runner = os.getppid()\nos.kill(runner, signal.SIGKILL)\ntime.sleep(0.2)\n"
        "print('through' if os.getppid() != runner else 'stopped')"
    ),
    "change_an_environment": through(
        "changed",
        "changed = True\ntry: open('/homie/env/0/module.py', 'w').close()\nexcept OSError: changed = False",
    ),
    "fill_the_root": write("", MIB),
    "fill_dev": write("/dev", MIB),
    "find_a_writable_mount": through(
        "found - {'/work', '/spool', '/tmp', '/dev/shm', '/proc', '/dev/pts'}",
        "found = set()\nfor line in open('/proc/self/mountinfo'):\n"
        "    place, options = line.split()[4:6]\n"
        "    if options.startswith('rw') and place not in ['/dev/' + n for n in "
        "('null', 'zero', 'full', 'random', 'urandom', 'tty')]: found.add(place)",
    ),
    "keep_memory": "import time\nx = b'x' * (150 << 20)\ntime.sleep(2)\nprint('through')",
    "grab_memory_at_once": through(
        "done",
        "import mmap\ndone = True\ntry: mmap.mmap(-1, 800 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
        "except (OSError, MemoryError): done = False",
    ),
    "outrun_the_owner": through("os.nice(0) < 10", "import os"),
}
"""Those that only bubblewrap's arguments must stop, one by one."""
