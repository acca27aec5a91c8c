"""What users install: a wheel with everything in it, in an environment that has nothing else."""

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import plain_user
import pytest
import uv

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [uv.find_uv_bin(), "build", "-q", "--wheel", "--out-dir", out, ROOT]
    subprocess.run(command, check=True, timeout=300)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_what_is_needed_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for needed in (
        "homie_core/py.typed",
        "homie_core/sandbox/seccomp.json",
        "homie_core/runner/__main__.py",
        "homie_core/cli/demo_train.py",
        "homie_core/cli/logo/logo-64x64.png",
        "homie_jupyter/magics.py",
        "homie_jupyter/kernel/__main__.py",
    ):
        assert needed in names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"homie_core", "homie_jupyter", f"{wheel.name.split('-')[0]}-0.1.0.dist-info"}


@pytest.mark.docker
def test_in_an_empty_environment_the_demo_ends_with_the_model(
    wheel: Path, tmp_path: Path, base_image: str
) -> None:
    environment = tmp_path / "env"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    install = [uv.find_uv_bin(), "pip", "install", "-q", "--python", python, wheel]
    subprocess.run(install, check=True, timeout=300)
    env = {**os.environ, "HOMIE_DEMO_IMAGE": base_image, "HOME": str(tmp_path)}
    demo = subprocess.run(
        [environment / "bin" / "homie", "demo"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert list(tmp_path.glob("homie-demo/model.*")), demo.stdout
    daemon = subprocess.run(
        [environment / "bin" / "homie-daemon", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "SIGTERM" in daemon.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Iterator[Path]:
    """An environment that everybody may use; made of the system's Python, if Homie can run on it."""
    python = Path("/usr/bin/python3")
    new_enough = [python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    if not python.exists() or subprocess.run(new_enough, check=False).returncode:
        python = Path(sys._base_executable)
    with tempfile.TemporaryDirectory(prefix="hm-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        environment = Path(folder, "env")
        subprocess.run([python, "-m", "venv", "--without-pip", environment], check=True, timeout=60)
        install = [uv.find_uv_bin(), "pip", "install", "-q", "--python", environment / "bin" / "python", wheel]
        subprocess.run(install, check=True, timeout=300)
        yield environment


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user, and hides engines")
@pytest.mark.parametrize("uid", [0, 4711], ids=["root", "plain user"])
def test_on_a_machine_with_python_only_the_demo_ends_with_the_model(installed: Path, uid: int) -> None:
    with plain_user.folder_of(uid) as home:
        demo = subprocess.run(
            [*plain_user.on_a_bare_machine(home, uid), installed / "bin" / "homie", "demo"],
            cwd=home,
            env={"HOME": str(home), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        models = [(model.stat().st_uid, model.name) for model in home.glob("homie-demo/*")]
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "Jobs of others run in bubblewrap (python 3." in demo.stdout
    assert "epoch  500" in demo.stdout
    assert models == [(uid, "model.json")]
