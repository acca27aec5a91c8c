"""The Tab key in a plain IPython, in a real terminal."""

import os
import re
import sys
from pathlib import Path

import pexpect
import pytest
from pair import Pair

pytestmark = pytest.mark.docker

IPYTHON = Path(sys.executable).with_name("ipython")


@pytest.fixture
def ipython(pair: Pair, tmp_path):
    env = {**os.environ, "HOMIE_HOME": str(pair.laptop.home), "IPYTHONDIR": str(tmp_path), "TERM": "xterm"}
    command = [sys.executable, str(IPYTHON), "--no-banner", "--no-confirm-exit", "--colors=NoColor"]
    shell = pexpect.spawn(command[0], command[1:], env=env, encoding="utf-8", timeout=30, dimensions=(40, 160))
    shell.expect("In \\[1\\]:")
    shell.send("%load_ext homie_jupyter\r")
    shell.expect("In \\[2\\]:")
    yield shell
    shell.close(force=True)


def offered(shell, line: str, *names: str) -> None:
    """Type a line and Tab; all these names must come up on the screen."""
    shell.send(f"{line}\t")
    for name in names:
        shell.expect(re.escape(name))
    shell.send("\x15")  # Ctrl-U forgets the line


def test_options_machines_and_verbs_are_completed(ipython):
    offered(ipython, "%homie pe", "peers")
    offered(ipython, "%%homie --ti", "meout")
    offered(ipython, "%%homie --g", "--gpu", "--get")
    offered(ipython, "%%homie -n de", "sk")
