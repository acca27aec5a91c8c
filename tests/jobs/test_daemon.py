"""Daemons that go while a job runs: told, killed, started again."""

import signal
import subprocess

import docker
import psutil
import pytest
from pair import HOMIE

from homie_core.client import Client

pytestmark = pytest.mark.docker

LONG = "import time\nprint('on', flush=True)\ntime.sleep(60)\n"


@pytest.fixture
def job(pair, tmp_path):
    """A job of laptop that runs on desk."""
    (tmp_path / "script.py").write_text(LONG)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with pair.laptop.popen("run", "script.py", cwd=tmp_path, **streams) as job:
        assert job.stdout.readline() == "on\n"
        yield job
        job.kill()


def containers(node):
    with_label = {"label": f"homie.node={Client(node.home).status().id}"}
    client = docker.from_env()
    try:
        return {container.id for container in client.containers.list(all=True, filters=with_label)}
    finally:
        client.close()


def test_going_down_ends_the_jobs_and_tells_their_submitters(pair, job):
    before = containers(pair.desk)
    pair.desk.homie("down")
    _, err = job.communicate(timeout=30)
    assert "the owner of desk took the machine back" in err
    assert job.returncode != 0
    pair.desk.homie("up")
    assert before
    assert not before & containers(pair.desk)
    pair.wait_until_found()


def test_sigterm_is_a_clean_end_too(pair, job):
    daemon = psutil.Process(Client(pair.desk.home).status().pid)
    daemon.send_signal(signal.SIGTERM)
    daemon.wait(30)
    assert "took the machine back" in job.communicate(timeout=30)[1]
    assert not (pair.desk.home / "control.sock").exists()
    pair.desk.homie("up")
    pair.wait_until_found()


def test_a_job_whose_sandbox_went_while_its_daemon_was_dead_is_lost_with_its_output(pair, job):
    before = containers(pair.desk)
    daemon = psutil.Process(Client(pair.desk.home).status().pid)
    daemon.kill()
    daemon.wait(10)
    client = docker.from_env()
    for container in before:
        client.containers.get(container).remove(force=True)
    client.close()
    pair.desk.homie("up")
    _, err = job.communicate(timeout=30)
    assert "lost: its sandbox on desk vanished" in err
    assert job.returncode == 1
    pair.wait_until_found()


def test_the_submitters_daemon_may_go_and_the_job_goes_on(pair, tmp_path):
    (tmp_path / "script.py").write_text("import time\nprint('on', flush=True)\ntime.sleep(3)\nprint('end')\n")
    with pair.laptop.popen("run", "script.py", cwd=tmp_path, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout.readline() == "on\n"
        (view,) = Client(pair.laptop.home).jobs()
        pair.laptop.homie("down")
        assert job.wait(30) == 1
    pair.laptop.homie("up")
    pair.wait_until_found()
    assert pair.laptop.homie("attach", view.id, cwd=tmp_path).stdout == "on\nend\n"


def test_only_one_daemon_for_a_home(pair):
    daemon = HOMIE.with_name("homie-daemon")
    again = subprocess.run([daemon], env=pair.laptop.env, capture_output=True, text=True, timeout=30, check=False)
    assert again.returncode == 1
    assert "a daemon runs already" in again.stderr
