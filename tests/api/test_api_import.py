"""What front ends load: neither the daemon's libraries nor anything slow."""

import subprocess
import sys

import pytest

HEAVY = {"aiohttp", "cryptography", "docker", "pynvml", "psutil", "cloudpickle", "homie_core.daemon", "numpy"}


@pytest.mark.parametrize(
    "code",
    [
        "import homie_core",
        "import homie_core; homie_core.run, homie_core.map, homie_core.Session",
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "InteractiveShell.instance().run_line_magic('load_ext', 'homie_jupyter')",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code: str):
    shows = f"{code}\nimport sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", shows], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "homie_core" in loaded
    assert HEAVY & set(loaded) == set()


def test_the_api_is_loaded_only_when_it_is_used():
    code = "import sys, homie_core as h; assert 'homie_core.api' not in sys.modules; h.run; print(dir(h))"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "'remote'" in said
