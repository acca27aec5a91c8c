"""The self-test: its judgement, and itself in the real sandboxes."""

import dataclasses
import os
from pathlib import Path

import msgspec
import pytest

from homie_core.model.errors import SandboxError
from homie_core.model.peer import Holds
from homie_core.sandbox import selftest
from homie_core.sandbox.base import Backend, End, Interpreter
from homie_core.sandbox.selftest import LIMITS, Seen, Verdict, judge_isolation, judge_limits

HOST = {"net": "net:[1]", "pid": "pid:[1]", "mnt": "mnt:[1]", "ipc": "ipc:[1]"}
GOOD = Seen(
    uid=10001,
    capabilities="0" * 16,
    privileges="1",
    namespaces=dict.fromkeys(HOST, "other:[2]"),
    reached=[],
    written=[],
    found=[],
    processes=3,
    forks=LIMITS.pids - 2,
    disk=LIMITS.disk,
    cpu=LIMITS.cpus,
)
ENDED = End(exit_code=0)


def test_what_holds_everything_isolates() -> None:
    assert judge_isolation(GOOD, HOST) == ""
    assert set(judge_limits(GOOD, "memory held\n", ENDED, True).values()) == {Holds.EXACT}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"uid": 0}, "a job is root"),
        ({"capabilities": "00000000a80425fb"}, "privileges"),
        ({"privileges": "0"}, "privileges"),
        ({"reached": ["IPv4"]}, "reaches the network (IPv4)"),
        ({"written": ["/etc"]}, "can write to /etc"),
        ({"found": ["/tmp/mark"]}, "sees files of this machine's owner"),
        ({"namespaces": {**GOOD.namespaces, "pid": HOST["pid"]}}, "shares with this machine: pid"),
        ({"processes": 200}, "its list of processes"),
    ],
)
def test_a_hole_is_named(change: dict[str, object], why: str) -> None:
    assert why in judge_isolation(msgspec.structs.replace(GOOD, **change), HOST)


def test_a_limit_that_does_not_bite_is_not_claimed() -> None:
    weak = msgspec.structs.replace(GOOD, forks=LIMITS.pids + 4, cpu=1.9, disk=2 * LIMITS.disk)
    assert set(judge_limits(weak, "memory not held\n", ENDED, True).values()) == {Holds.NOT}


def test_a_watchdog_is_soft() -> None:
    held = judge_limits(GOOD, "", End(exit_code=137, out_of_memory=True), False)
    assert (held["memory"], held["disk"]) == (Holds.SOFT, Holds.SOFT)
    killed_by_someone = judge_limits(GOOD, "", End(exit_code=137), False)
    assert killed_by_someone["memory"] is Holds.NOT


def test_a_verdict_in_words() -> None:
    verdict = Verdict(True, "", {"memory": Holds.EXACT, "processes": Holds.SOFT, "cpu": Holds.NOT})
    assert str(verdict) == "memory exact, processes soft, cpu not, disk not"


@pytest.mark.docker
async def test_the_real_sandbox_isolates(prepared: tuple[Backend, Interpreter]) -> None:
    verdict = await selftest.try_out(prepared[0])
    assert verdict.isolated, verdict.why
    if os.getuid() == 0:
        assert verdict.holds["processes"] is Holds.EXACT
        assert verdict.holds["memory"] is Holds.EXACT


@dataclasses.dataclass
class Named:
    """As much of a backend as a fingerprint needs."""

    name: str
    identity: str = ""


async def test_a_verdict_is_kept_until_something_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python, tried = Interpreter("3.12", "x86_64", "2.36"), []

    async def try_out(backend: Named) -> Verdict:
        tried.append(backend.identity)
        return Verdict(backend.identity != "bad", "", {"memory": Holds.EXACT})

    monkeypatch.setattr(selftest, "try_out", try_out)
    for identity in ("a", "a", "b", "bad", "bad"):
        verdict = await selftest.verdict(Named("docker", identity), python, tmp_path)  # type: ignore[arg-type]
        assert verdict.holds == {"memory": Holds.EXACT}
    assert tried == ["a", "b", "bad", "bad"]
    (tmp_path / "selftest.json").write_text("[]")
    await selftest.verdict(Named("docker", "b"), python, tmp_path)  # type: ignore[arg-type]
    assert tried[-1] == "b"


async def test_a_probe_that_does_not_run_is_said(
    prepared: tuple[Backend, Interpreter], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit('no such luck')")
    monkeypatch.setattr(selftest, "PROBE", broken)
    with pytest.raises(SandboxError, match=r"did not run in .*no such luck"):
        await selftest.try_out(prepared[0])
