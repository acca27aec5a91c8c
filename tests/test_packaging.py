"""What users install: a wheel with everything in it, in an environment that has nothing else."""

import os
import subprocess
import venv
import zipfile
from pathlib import Path

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
        "homie_jupyter/magics.py",
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
