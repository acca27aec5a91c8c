"""Make the image that the Docker tests run their jobs in, where no registry may be reachable.

python scripts/base_image.py          make it if it is missing (debootstrap as root, otherwise a pull)
python scripts/base_image.py --check  say what is missing and fail; make nothing
"""

# ruff: noqa: T201 (a script speaks by printing)

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound

IMAGE = os.environ.get("HOMIE_TEST_IMAGE", "homie-base:bookworm")
PULLED = "python:3.12-slim-bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
CACHE = Path("/var/cache/homie") if os.geteuid() == 0 else Path(__file__).parents[1] / ".cache"
TARBALL = CACHE / "homie-base-bookworm.tar"
NEEDLESS = (
    "var/cache/apt/archives",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
)


def main() -> int:
    """Return 0 when the engine has the image."""
    started = time.monotonic()
    try:
        client = docker.from_env(timeout=300)
    except DockerException as error:
        print(f"no Docker engine answers ({error}); scripts/test starts one")
        return 1
    try:
        client.images.get(IMAGE)
        return 0
    except ImageNotFound:
        if "--check" in sys.argv[1:]:
            print(f"the engine has no image {IMAGE}; run `python scripts/base_image.py`")
            return 1
        make(client)
    except DockerException as error:
        print(f"the Docker engine does not answer as it should ({error})")
        return 1
    finally:
        client.close()
    print(f"made {IMAGE} in {time.monotonic() - started:.0f} s")
    return 0


def make(client: docker.DockerClient) -> None:
    """Bring the image in: from the tarball of an earlier run, by debootstrap, or from a registry."""
    if not TARBALL.exists() and os.geteuid() == 0 and shutil.which("debootstrap"):
        bootstrap()
    if TARBALL.exists():
        repository, _, tag = IMAGE.partition(":")
        client.api.import_image(src=str(TARBALL), repository=repository, tag=tag or "latest")
    else:
        print(f"not root or no debootstrap: pulling {PULLED} instead")
        client.images.pull(PULLED).tag(IMAGE)


def bootstrap() -> None:
    """Write a minimal Debian with Python as a tarball; it appears whole or not at all."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="homie-base-", dir=CACHE) as folder:
        root, tarball = Path(folder) / "root", Path(folder) / "image.tar"
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"debootstrap failed ({done.returncode}):\n{done.stdout[-2000:]}")
        leave_out = [f"--exclude=./{path}/*" for path in NEEDLESS]
        subprocess.run(["tar", "-C", root, "--one-file-system", *leave_out, "-cf", tarball, "."], check=True)
        tarball.rename(TARBALL)


if __name__ == "__main__":
    sys.exit(main())
