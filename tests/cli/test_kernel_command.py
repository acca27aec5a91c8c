"""`homie kernel`: what it puts into Jupyter, against a control server; nothing of this machine's Jupyter."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_daemon import GB, FakeDaemon, peer

from homie_core.cli import main
from homie_core.config import config_file, create
from homie_core.model.peer import Capacity, Gpu, Standing
from homie_core.store.identity import new_secret


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Jupyter looks for its user's kernels, in this test."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    return tmp_path / "kernels"


@pytest.fixture
def daemon(homie_home: Path, kernels: Path) -> Iterator[FakeDaemon]:
    create(config_file(homie_home), "laptop", new_secret())
    with FakeDaemon(homie_home) as daemon:
        daemon.peers = [peer("desk")]
        yield daemon


def with_card(name: str) -> Capacity:
    card = Gpu(name=name, uuid="GPU-1", vram_total=10 * GB, vram_free=10 * GB)
    return Capacity(cores=8, cpu_percent=5.0, ram_total=GB, ram_free=GB, sharing=True, gpus=(card,))


def spec(kernels: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((kernels / name / "kernel.json").read_text())
    return found


def test_it_is_put_where_jupyter_finds_it(
    daemon: FakeDaemon, kernels: Path, homie_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["kernel", "install", "--name", "desk", "--ram", "8G", "--cpus", "2", "--timeout", "2h"]) == 0
    assert spec(kernels, "homie-desk") == {
        "argv": [
            *(sys.executable, "-P", "-m", "homie_jupyter.kernel", "-f", "{connection_file}", "--node", "desk"),
            *("--cpus", "2.0", "--ram", str(8 << 30), "--timeout", "7200.0"),
        ],
        "display_name": "Python on desk",
        "language": "python",
        "interrupt_mode": "message",
        "env": {"HOMIE_HOME": str(homie_home)},
        "metadata": {"homie": {"node": "desk"}, "debugger": False},
    }
    assert (kernels / "homie-desk" / "logo-svg.svg").is_file()
    said = capsys.readouterr()
    assert said.out.startswith("Python on desk is in Jupyter's launcher; for programs it is homie-desk (")
    assert said.err == ""


def test_without_a_name_it_is_for_the_best(daemon: FakeDaemon, kernels: Path) -> None:
    assert main(["kernel", "install"]) == 0
    assert spec(kernels, "homie")["display_name"] == "Python on best homie"
    assert "--node" not in spec(kernels, "homie")["argv"]


@pytest.mark.parametrize(
    ("card", "shown"),
    [
        ("NVIDIA GeForce RTX 3080", "RTX 3080"),
        ("NVIDIA H100 80GB HBM3", "H100 80GB HBM3"),
        ("Tesla T4", "Tesla T4"),
        ("NVIDIA", "NVIDIA"),
    ],
)
def test_a_card_is_named_and_asked_for(daemon: FakeDaemon, kernels: Path, card: str, shown: str) -> None:
    daemon.peers = [peer("desk", capacity=with_card(card))]
    assert main(["kernel", "install", "--name", "desk"]) == 0
    assert spec(kernels, "homie-desk")["display_name"] == f"Python on desk · {shown}"
    assert spec(kernels, "homie-desk")["argv"][-1] == "--gpu=1"
    assert main(["kernel", "install", "--name", "desk", "--no-gpu"]) == 0
    assert spec(kernels, "homie-desk")["display_name"] == "Python on desk"
    assert "--gpu" not in str(spec(kernels, "homie-desk")["argv"])


def test_which_card_is_asked_for_is_kept(
    daemon: FakeDaemon, kernels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.peers = [peer("desk", capacity=with_card("NVIDIA GeForce RTX 3080"))]
    assert main(["kernel", "install", "--name", "desk", "--gpu=rtx3080", "--vram", "8G"]) == 0
    assert spec(kernels, "homie-desk")["display_name"] == "Python on desk · RTX 3080"
    assert spec(kernels, "homie-desk")["argv"][-1] == "--gpu=rtx3080:1,8G"
    assert capsys.readouterr().err == ""
    assert main(["kernel", "install", "--name", "desk", "--gpu", "--vram", "24G"]) == 0
    assert spec(kernels, "homie-desk")["display_name"] == "Python on desk"
    assert "desk has no GPU with 24 GB of VRAM now; the kernel can be used when it has" in capsys.readouterr().err
    assert main(["kernel", "install", "--gpu=2"]) == 0
    assert spec(kernels, "homie")["argv"][-1] == "--gpu=2"


def test_a_machine_that_is_not_here_is_said(
    daemon: FakeDaemon, kernels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.peers = [peer("desk", standing=Standing.OFFLINE)]
    assert main(["kernel", "install", "--name", "desk"]) == 0
    assert "nobody called desk is here now" in capsys.readouterr().err
    assert main(["kernel", "install", "--name", "../evil"]) == 2
    assert sorted(path.name for path in kernels.iterdir()) == ["homie-desk"]


def test_only_homies_own_are_listed_and_removed(
    daemon: FakeDaemon, kernels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["kernel", "list"]) == 0
    assert capsys.readouterr().err == "No kernels. `homie kernel install` makes one.\n"
    foreign = kernels / "homie-desk"
    foreign.mkdir(parents=True)
    (foreign / "kernel.json").write_text(json.dumps({"argv": ["x"], "display_name": "X", "language": "x"}))
    assert main(["kernel", "remove", "--name", "desk"]) == 1
    assert capsys.readouterr().err == (
        "homie: there is no kernel homie-desk of Homie's; `homie kernel list` lists them\n"
    )
    assert main(["kernel", "install"]) == 0
    capsys.readouterr()
    assert main(["kernel", "list"]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert re.split("  +", head) == ["KERNEL", "SHOWN AS", "WHERE"]
    assert re.split("  +", line) == ["homie", "Python on best homie", str(kernels / "homie")]
    assert main(["kernel", "remove"]) == 0
    assert [path.name for path in kernels.iterdir()] == ["homie-desk"]


def test_another_program_s_kernel_is_not_replaced(
    daemon: FakeDaemon, kernels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (kernels / "homie").mkdir(parents=True)
    before = json.dumps({"argv": ["x"], "display_name": "X", "language": "x"})
    (kernels / "homie" / "kernel.json").write_text(before)
    assert main(["kernel", "install"]) == 1
    assert "is not Homie's" in capsys.readouterr().err
    assert (kernels / "homie" / "kernel.json").read_text() == before


def test_for_this_environment_only(daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "env"))
    assert main(["kernel", "install", "--sys-prefix"]) == 0
    assert (tmp_path / "env/share/jupyter/kernels/homie/kernel.json").is_file()
    assert not (tmp_path / "kernels").exists()


def test_without_a_configuration_it_says_what_to_do(
    homie_home: Path, kernels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["kernel", "install", "--name", "desk"]) == 1
    assert "homie setup" in capsys.readouterr().err
    assert not kernels.exists()
