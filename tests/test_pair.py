"""What larger tests rely on: a pair of nodes goes away, whatever happened to it."""

import contextlib
import subprocess
from pathlib import Path

import docker
import pair
import pytest
from pair import Pair

from homie_core.store.identity import read_peer_id

pytestmark = pytest.mark.docker


def sandboxes(node: str) -> int:
    with contextlib.closing(docker.from_env()) as client:
        return len(client.containers.list(all=True, filters={"label": f"homie.node={node}"}))


def test_daemons_that_do_not_answer_any_more_are_ended_with_their_jobs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pair, "END_WITHIN", 0.5)
    (tmp_path / "job.py").write_text("import time\nprint('runs', flush=True)\ntime.sleep(600)\n")
    with contextlib.suppress(ZeroDivisionError), Pair() as both:
        run = both.laptop.popen("run", "-n", "desk", "job.py", cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        with run.stdout as output:
            assert output.readline() == "runs\n", run.wait(timeout=10)
        node, homes = read_peer_id(both.desk.home), both.desk.home.parent
        assert sandboxes(node) == 1
        processes = both.laptop.processes() + both.desk.processes()
        assert len(processes) >= 3, "two daemons and a command"
        for process in processes:
            process.suspend()
        _ = 1 / 0
    assert not any(pair.runs(process) for process in processes)
    assert run.wait(timeout=10) != 0
    assert sandboxes(node) == 0
    assert not homes.exists()
