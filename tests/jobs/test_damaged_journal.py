"""A journal that is damaged, or of a newer version: the daemon starts, touches nothing, and says the way out."""

import contextlib
import os
import re
import sqlite3
import subprocess
from pathlib import Path

import psutil
import pytest
from pair import HOMIE, Node, Pair
from waiting import wait_until

from homie_core.client import Client

pytestmark = pytest.mark.docker


def rubbish(path: Path) -> None:
    for file in path.parent.glob("journal.db*"):
        file.write_bytes(b"rubbish" * 1000)


def shares(seen_by: Node, name: str) -> bool:
    return any(peer["name"] == name and peer["sharing"] for peer in seen_by.peers())


def test_a_journal_that_cannot_be_used(base_image: str, tmp_path: Path) -> None:
    with Pair(desk={"sandbox_pool": "0"}) as pair:
        (tmp_path / "one.py").write_text("print(1)")
        (tmp_path / "wait.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(3600)\n")
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
        with pair.laptop.popen("run", "-n", "desk", "wait.py", **streams) as job, contextlib.ExitStack() as stack:
            stack.callback(job.kill)
            assert job.stdout.readline() == "begun\n"
            (folder,) = (pair.desk.home / "jobs").iterdir()
            daemon = psutil.Process(Client(pair.desk.home).status().pid)
            daemon.kill()
            daemon.wait(10)
            path = pair.desk.home / "journal.db"
            rubbish(path)
            before, files = path.read_bytes(), sorted(folder.rglob("*"))

            up = pair.desk.homie("up").stdout
            assert f"the journal {path} is damaged" in up
            assert "is damaged" in pair.desk.homie("peers").stderr
            assert "is damaged" in pair.desk.homie("jobs").stderr
            assert f"the journal {path} is damaged" in pair.desk.log()
            wait_until(lambda: not shares(pair.laptop, "desk"), "desk shares on")
            refused = pair.laptop.homie("run", "-n", "desk", "one.py", check=False, cwd=tmp_path)
            assert (refused.returncode, refused.stdout) == (1, "")
            assert "desk: takes no jobs" in refused.stderr
            pair.join("nas", sandbox_pool="0")
            wait_until(lambda: shares(pair.desk, "nas"), "desk sees no nas")
            assert pair.desk.homie("run", "-n", "nas", "one.py", cwd=tmp_path).stdout == "1\n"

            assert job.poll() is None  # its submitter waits until desk knows again
            assert pair.desk.homie("down").stdout == "homie is down.\n"
            assert (path.read_bytes(), sorted(folder.rglob("*"))) == (before, files)
            (way_out,) = re.findall(r"`(homie down && .* && homie up)`", up)
            environment = pair.desk.env | {"PATH": f"{HOMIE.parent}:{os.environ['PATH']}"}
            subprocess.run(["bash", "-ec", way_out], env=environment, check=True, capture_output=True, timeout=60)
            assert (path.parent / "damaged/journal.db").read_bytes() == before
            assert not folder.exists()
            pair.wait_until_found()
            assert pair.laptop.homie("run", "-n", "desk", "one.py", cwd=tmp_path).stdout == "1\n"
            assert "there is no job" in job.communicate(timeout=60)[1]

        pair.desk.homie("down")
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 9")
        up = pair.desk.homie("up").stdout
        assert f"the journal {path} was written by a newer Homie (format 9" in up
        assert "pip install -U homie-compute" in up
        assert pair.desk.homie("down").stdout == "homie is down.\n"
