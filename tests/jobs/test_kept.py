"""What nobody fetches is kept within the owner's budget: the oldest go, and who comes for them hears why."""

import random
import subprocess
from pathlib import Path

import psutil
import pytest
from pair import Pair
from waiting import wait_until

from homie_core.client import Client, new_job_id, request_for_script
from homie_core.model.control import JobEvent
from homie_core.model.event import Started
from homie_core.model.job import Ask
from homie_core.model.names import JobId

pytestmark = pytest.mark.docker

SCRIPT = """
import pathlib, random, sys
seed = int(sys.argv[1])
print("result", seed)
pathlib.Path("result").write_bytes(random.Random(seed).randbytes(2 << 20))
"""
WAIT = "import time\nprint('begun', flush=True)\ntime.sleep(3600)\n"


def run_and_leave(pair: Pair, script: Path, *args: str) -> JobId:
    """Run a job on desk, and read no more of it once it runs."""
    job = new_job_id()
    ask = Ask(cpus=0.5, memory=256 << 20)
    request = request_for_script(script, args, results=script.parent / job, job=job, ask=ask, node="desk")
    news = Client(pair.laptop.home).run(request)
    assert any(isinstance(each, JobEvent) and isinstance(each.record.event, Started) for each in news)
    return job


def has_ended(folder: Path) -> bool:
    return (folder / "results").exists() and not (folder / "box").exists()


def test_the_oldest_results_go_and_their_submitter_hears_why(
    base_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script, wait = tmp_path / "script.py", tmp_path / "wait.py"
    script.write_text(SCRIPT)
    wait.write_text(WAIT)
    with Pair(desk={"kept_disk_limit": "5m", "container_disk_limit": "64m", "sandbox_pool": "0"}) as pair:
        runs = run_and_leave(pair, wait)
        folder, jobs = pair.desk.home / "jobs", list[JobId]()
        for seed in range(3):
            jobs.append(run_and_leave(pair, script, str(seed)))
            wait_until(lambda: has_ended(folder / jobs[-1]), "it does not end", 40)
        wait_until(lambda: not (folder / jobs[0]).exists(), "the oldest is kept")

        daemon = psutil.Process(Client(pair.desk.home).status().pid)
        daemon.kill()
        daemon.wait(10)
        pair.desk.homie("up")
        pair.wait_until_found()
        late = pair.laptop.homie("attach", jobs[0], check=False)
        assert (late.returncode, late.stdout) == (1, "")
        assert f"job {jobs[0]} has ended" in late.stderr
        assert "dropped to keep within desk's kept_disk_limit (5.0 MB)" in late.stderr
        assert "Run it again and fetch it sooner" in late.stderr
        for seed, job in list(enumerate(jobs))[1:]:
            assert pair.laptop.homie("attach", job).stdout == f"result {seed}\n"
            came = (tmp_path / "homie-results" / job / "result").read_bytes()
            assert came == random.Random(seed).randbytes(2 << 20)
        wait_until(lambda: [each.name for each in folder.iterdir()] == [runs], "what was fetched is kept")

        assert (folder / runs / "box").exists(), "what runs is not dropped"
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with pair.laptop.popen("attach", runs, **streams) as attached:
            assert attached.stdout.readline() == "begun\n"
            pair.laptop.homie("cancel", runs)
            attached.communicate(timeout=30)
            assert attached.returncode == 130
