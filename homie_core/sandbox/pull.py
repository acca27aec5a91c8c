"""Pulling an image, by docker-py in a process of its own: it is rare, and what it needs is large (8 MB).

`python -m homie_core.sandbox.pull URL IMAGE` says `{"percent": 5}` a line; why it fails is said on standard error.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

from homie_core.model.errors import SandboxError

ANSWER_TIMEOUT = 60
"""Seconds for one answer of the engine; a pull answers all the time."""


async def pull(url: str, image: str, report: Callable[[str], None]) -> None:
    """Let the engine pull the image; tell how far it is. Raises SandboxError with the way out."""
    report(f"pulling {image}")
    command = (sys.executable, "-P", "-m", "homie_core.sandbox.pull", url, image)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )
    assert process.stdout
    assert process.stderr
    reading = asyncio.create_task(process.stderr.read(), name=f"why pulling {image} fails")
    try:
        async for line in process.stdout:
            report(f"pulling {image} {json.loads(line)['percent']} %")
        errors, status = await reading, await process.wait()
    except BaseException:
        reading.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()  # the engine stops when nobody listens
        await process.wait()
        raise
    if status:
        why = errors.decode(errors="replace").strip()[-500:] or f"it ended with {status}"
        raise SandboxError(
            f"the image {image} cannot be pulled ({why}). Is this machine online? It is tried again; or name an "
            "image that is here: homie config set container_base_image NAME"
        )


def percents(lines: Iterator[dict[str, Any]]) -> Iterator[int]:
    """Yield how much of a pull is done, each time it has grown; raise SandboxError if the pull fails."""
    layers: dict[str, tuple[int, int]] = {}
    shown = 0
    for line in lines:
        if "error" in line:
            raise SandboxError(str(line["error"]))
        detail = line.get("progressDetail") or {}
        if line.get("status") == "Downloading" and detail.get("total"):
            layers[str(line["id"])] = (int(detail["current"]), int(detail["total"]))
            done = sum(current for current, _ in layers.values())
            percent = 100 * done // sum(total for _, total in layers.values())
            if percent > shown:
                shown = percent
                yield percent


def main(url: str, image: str) -> None:
    """Pull; the name's registry, and who one is there, docker-py reads from the user's Docker configuration."""
    import docker
    from docker.errors import APIError, DockerException
    from requests import RequestException

    try:
        client = docker.APIClient(base_url=url, version="auto", timeout=ANSWER_TIMEOUT)
        for percent in percents(client.pull(image, stream=True, decode=True)):
            print(json.dumps({"percent": percent}), flush=True)  # noqa: T201
    except APIError as error:
        sys.exit(f"the container engine refused: {error.explanation or error}")
    except (SandboxError, DockerException, RequestException, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
