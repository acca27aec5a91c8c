"""`homie trust` and `untrust`, on the command line and in a notebook, against a control server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_daemon import FakeDaemon, peer
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from homie_core.cli import main
from homie_core.config import config_file, create
from homie_core.model.control import Refused
from homie_core.model.errors import NoPeer
from homie_core.store.identity import new_secret


@pytest.fixture
def daemon(homie_home: Path) -> Iterator[FakeDaemon]:
    create(config_file(homie_home), "laptop", new_secret())
    with FakeDaemon(homie_home) as daemon:
        yield daemon


def test_trust_says_what_it_means(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trust", "desk"]) == 0
    assert daemon.asked == [("trust", "desk")]
    out = capsys.readouterr().out
    assert out.startswith("desk is trusted (key dededededede)")
    assert "may then run JavaScript in your notebook" in out
    assert "homie untrust desk" in out


def test_untrust_says_what_stays(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["untrust", "desk"]) == 0
    assert daemon.asked == [("untrust", "desk")]
    assert "clear those outputs" in capsys.readouterr().out


def test_a_refusal_is_told(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.refuse = Refused.because(NoPeer("no peer is called desk"))
    assert main(["trust", "desk"]) == 1
    assert capsys.readouterr().err == "homie: no peer is called desk\n"


def test_peers_show_who_is_trusted(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.peers = [peer("desk", trusted=True), peer("attic", id="ab" * 32)]
    assert main(["peers"]) == 0
    table = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "online, trusted" in table["desk"]
    assert "trusted" not in table["attic"]
    assert main(["peers", "--json"]) == 0
    assert {p["name"]: p["trusted"] for p in json.loads(capsys.readouterr().out)} == {"desk": True, "attic": False}


def test_the_magic_does_the_same(
    daemon: FakeDaemon, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_line_magic("homie", "trust desk")
    assert "may then run JavaScript" in capsys.readouterr().out
    shell.run_line_magic("homie", " untrust  desk ")
    assert "clear those outputs" in capsys.readouterr().out
    assert daemon.asked == [("trust", "desk"), ("untrust", "desk")]


@pytest.mark.parametrize("line", ["trust", "untrust", "trust a b", "untrust a b"])
def test_the_magic_wants_one_name(daemon: FakeDaemon, shell: InteractiveShell, line: str) -> None:
    with pytest.raises(UsageError, match="with the name of one machine"):
        shell.run_line_magic("homie", line)
    assert daemon.asked == []


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "homie_jupyter")
    yield shell
    InteractiveShell.clear_instance()
