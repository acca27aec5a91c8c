"""Bubblewrap itself: as root and as a plain user, with control groups and without, and where it cannot work."""

import asyncio
import json
import os
import subprocess
from pathlib import Path

import plain_user
import pytest
from sandbox_lab import NODE, Lab

from homie_core.model.errors import SandboxError
from homie_core.model.job import Limits
from homie_core.model.peer import Holds
from homie_core.sandbox.bubblewrap import Bubblewrap
from homie_core.sandbox.bubblewrap.machine import explain
from homie_core.sandbox.link import ProgramEnd
from homie_core.sandbox.process_tree import members, started_at

only_bubblewrap = pytest.mark.parametrize("prepared", ["bubblewrap"], indirect=True)
MIB = 1 << 20

AS_PLAIN_USER = """
import asyncio, json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from sandbox_lab import Lab, LIMITS
from homie_core.model.job import Limits
from homie_core.sandbox.bubblewrap import Bubblewrap
async def main():
    folder = Path(sys.argv[1])
    backend = Bubblewrap(folder / "sandboxes")
    interpreter = await backend.prepare(lambda said: None)
    lab = Lab(backend, folder)
    status = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
    who = await lab.run(
        "import json, os, socket, sys\\n"
        "s = dict(l.split(':', 1) for l in open('/proc/self/status').read().splitlines())\\n"
        f"print(json.dumps([os.getuid(), [s[k].strip() for k in {status}], sys.version_info[:2],"
        "[n for _, n in socket.if_nameindex()], open('/proc/self/oom_score_adj').read().strip()]))"
    )
    forks = await lab.run(
        "import os, time\\nmade = 0\\n"
        "try:\\n    for _ in range(100):\\n        if os.fork() == 0: time.sleep(60)\\n        made += 1\\n"
        "except OSError as e: print(e.strerror, made)",
        limits=Limits(cpus=1, memory=256 << 20, timeout=20, pids=16))
    hog = await lab.run("import time; x = b'x' * (200 << 20); time.sleep(20)",
        limits=Limits(cpus=1, memory=64 << 20, timeout=25))
    print(json.dumps({"who": json.loads(who.out), "err": who.err.decode(), "uid": backend.uid,
        "forks": forks.out.decode(),
        "hog": [hog.program is None, hog.end.out_of_memory], "version": interpreter.version,
        "promises": {name: holds.value for name, holds in backend.promises().items()}}))
asyncio.run(main())
"""


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
def test_a_plain_user_lends_as_well() -> None:
    with plain_user.folder_of() as folder:
        done = subprocess.run(
            [*plain_user.python(), "-c", AS_PLAIN_USER, folder, plain_user.seen(Path(__file__).parent)],
            cwd="/",
            env={"PYTHONPATH": plain_user.search_path(), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["who"][0] == told["uid"] == plain_user.UID
    assert told["who"][1] == ["0" * 16] * 5 + ["1", "2"]
    assert (told["who"][3], told["who"][4], told["err"]) == (["lo"], "1000", "")
    assert told["forks"] == f"Resource temporarily unavailable {16 - 2}\n"
    assert told["hog"] == [True, True]
    assert told["promises"] == {"memory": "soft", "pids": "exact", "cpu": "not", "disk": "not"}


@only_bubblewrap
async def test_without_control_groups_the_watchdog_counts_memory_files_too(lab: Lab, tmp_path: Path) -> None:
    backend = Bubblewrap(tmp_path / "sandboxes", use_cgroups=False)
    await backend.prepare(lambda said: None)
    assert backend.promises()["memory"] is Holds.SOFT
    source = "import time; open('/tmp/x', 'wb').write(bytes(60 << 20)); time.sleep(20)"
    limits = Limits(cpus=1, memory=48 * MIB, timeout=25, tmp=100 * MIB)
    result = await Lab(backend, tmp_path).run(source, limits=limits)
    assert result.end
    assert (result.program, result.end.out_of_memory) == (None, True)


@only_bubblewrap
@pytest.mark.parametrize("use_cgroups", [True, False])
async def test_frozen_and_thawed_without_an_engine(lab: Lab, tmp_path: Path, use_cgroups: bool) -> None:
    backend = Bubblewrap(tmp_path / "sandboxes", use_cgroups=use_cgroups)
    await backend.prepare(lambda said: None)
    lab = Lab(backend, tmp_path)
    sandbox, link = await lab.start(lab.box("print(1, flush=True)\nwhile True: pass"))
    async for record in link:
        if record.seq == 2:
            break
    assert sandbox._spawned
    await sandbox.freeze(True)
    still = {"D", "S"} if use_cgroups else {"T"}
    for _ in range(200):  # the kernel takes its time
        states = {_state(pid) for pid in members(sandbox._spawned.pid)}
        if states <= still:
            break
        await asyncio.sleep(0.01)
    await sandbox.freeze(False)
    await link.signal(15)
    *_, last = [record async for record in link]
    await sandbox.remove()
    assert states <= still
    assert last.fact == ProgramEnd(status=None, signal=15, deadline=False)


@only_bubblewrap
async def test_sweep_ends_what_an_earlier_life_left(lab: Lab, tmp_path: Path) -> None:
    other = "f" * 64
    boxes = [lab.box("import time; time.sleep(60)", node=node) for node in (NODE, NODE, other)]
    sandboxes = [(await lab.start(box))[0] for box in boxes]
    lives = [started_at(sandbox._spawned.pid) is not None for sandbox in sandboxes]
    assert await lab.backend.sweep(NODE, frozenset({boxes[0].job})) == 1
    assert await lab.backend.sweep(NODE, frozenset({boxes[0].job})) == 0
    assert (await sandboxes[1].end()).exit_code == 137
    still = [started_at(sandbox._spawned.pid) is not None for sandbox in sandboxes]
    for sandbox in sandboxes:
        await sandbox.remove()
    assert lives == [True] * 3
    assert still == [True, False, True]


@only_bubblewrap
async def test_nothing_is_left(lab: Lab) -> None:
    sandbox, _ = await lab.start(lab.box("import time; time.sleep(60)"))
    folders = list(sandbox._group.folders.values()) if sandbox._group else []
    assert sandbox._record.exists()
    assert all(folder.is_dir() for folder in folders)
    await sandbox.remove()
    assert started_at(sandbox._spawned.pid) is None
    assert not sandbox._record.exists()
    assert not any(folder.exists() for folder in folders)
    assert sorted(path.name for path in sandbox._box.folder.iterdir()) == ["etc", "spool", "work"]


@only_bubblewrap
async def test_other_limits_for_what_runs(lab: Lab) -> None:
    source = "import time\nx = b'x' * (100 << 20)\nprint('has it', flush=True)\ntime.sleep(0.1)\nx += x"
    sandbox, link = await lab.start(lab.box(source, limits=Limits(cpus=1, memory=1024 * MIB, timeout=20)))
    await sandbox.limit(Limits(cpus=1, memory=64 * MIB, timeout=20))
    records = [record async for record in link]
    await link.ack(records[-1].seq)
    end = await sandbox.end()
    await sandbox.remove()
    assert end.out_of_memory


async def test_not_prepared_is_said(tmp_path: Path) -> None:
    box = Lab(Bubblewrap(tmp_path), tmp_path).box("")
    with pytest.raises(SandboxError, match="not been prepared"):
        await Bubblewrap(tmp_path).create(box)


def test_where_nothing_can_be_isolated_the_reason_and_the_remedy_are_named() -> None:
    said = "bwrap: No permissions to create a new namespace, likely because the kernel does not allow it"
    switched_off = explain(said, {"user/max_user_namespaces": "0", "kernel/unprivileged_userns_clone": "1"})
    assert "No permissions to create a new namespace" in switched_off
    assert "sudo sysctl -w user.max_user_namespaces=15000" in switched_off
    ubuntu = explain("bwrap: setting up uid map: Permission denied", {SWITCH: "1"})
    assert "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" in ubuntu
    for sign in (said, "bwrap: loopback: Failed RTM_NEWADDR", "bwrap: pivot_root: Operation not permitted"):
        assert "container: start it with `--security-opt" in explain(sign, {"user/max_user_namespaces": "100"})
    assert "can be read by everybody" in explain("bwrap: Can't find source path /usr", {})


SWITCH = "kernel/apparmor_restrict_unprivileged_userns"


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
