"""What is asked of an engine while jobs come and go: a few calls of Docker's HTTP API, over aiohttp.

The names and arguments are those of docker-py's APIClient, which would do the same with requests in threads: 8 MB
in a daemon that is to cost its owner nothing while nobody needs it. Images are pulled by docker-py, see pull.py.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

PORT = 2375

_CONTAINER = {
    "command": "Cmd",
    "entrypoint": "Entrypoint",
    "environment": "Env",
    "healthcheck": "Healthcheck",
    "host_config": "HostConfig",
    "hostname": "Hostname",
    "image": "Image",
    "labels": "Labels",
    "network_disabled": "NetworkDisabled",
    "stdin_open": "OpenStdin",
    "stop_timeout": "StopTimeout",
    "user": "User",
    "working_dir": "WorkingDir",
}
_HOST = {
    "cap_drop": "CapDrop",
    "cpu_period": "CpuPeriod",
    "cpu_quota": "CpuQuota",
    "device_requests": "DeviceRequests",
    "ipc_mode": "IpcMode",
    "log_config": "LogConfig",
    "mem_limit": "Memory",
    "memswap_limit": "MemorySwap",
    "mounts": "Mounts",
    "network_mode": "NetworkMode",
    "oom_score_adj": "OomScoreAdj",
    "pids_limit": "PidsLimit",
    "read_only": "ReadonlyRootfs",
    "runtime": "Runtime",
    "security_opt": "SecurityOpt",
    "shm_size": "ShmSize",
    "tmpfs": "Tmpfs",
    "ulimits": "Ulimits",
    "userns_mode": "UsernsMode",
}
_INNER = {
    "capabilities": "Capabilities",
    "config": "Config",
    "device_ids": "DeviceIDs",
    "test": "Test",
    "type": "Type",
}
"""Names inside `healthcheck`, `log_config` and `device_requests`."""

_NO_ADDITION = {"detach": True, "use_config_proxy": False}
"""What changes nothing: docker-py needs to be told, the engine does not."""


class Refused(Exception):
    """The engine understood, and says no."""

    def __init__(self, status: int, explanation: str) -> None:
        super().__init__(explanation)
        self.status = status


class Client:
    """The calls of one engine. A connection for each: on a local socket that costs nothing.

    Raises Refused, aiohttp.ClientError, TimeoutError, msgspec.DecodeError.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self.prefix = ""
        """Before every path, once `version` has told which the engine speaks."""
        self._address = urlsplit(url)
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    async def version(self) -> Any:
        """Return which engine it is; from then on its newest API is spoken."""
        found = await self._json("GET", "/version")
        self.prefix = f"/v{found['ApiVersion']}"
        return found

    async def info(self) -> Any:
        return await self._json("GET", f"{self.prefix}/info")

    async def inspect_image(self, image: str) -> Any:
        return await self._json("GET", f"{self.prefix}/images/{quote(image, safe='/:@')}/json")

    async def containers(self, *, all: bool, filters: Mapping[str, list[str]]) -> Any:
        query = {"all": str(int(all)), "filters": json.dumps(filters)}
        return await self._json("GET", f"{self.prefix}/containers/json", query)

    async def create_container(self, **options: Any) -> Any:
        return await self._json("POST", f"{self.prefix}/containers/create", body=container_config(**options))

    @staticmethod
    def create_host_config(**options: Any) -> dict[str, Any]:
        """Return the value of `create_container`'s `host_config`."""
        return {_HOST[name]: _spelled(value) for name, value in options.items() if value is not None}

    async def inspect_container(self, container: str) -> Any:
        return await self._json("GET", f"{self._of(container)}/json")

    async def update_container(self, container: str, **limits: int) -> None:
        await self._ask("POST", f"{self._of(container)}/update", body=self.create_host_config(**limits))

    async def start(self, container: str) -> None:
        await self._ask("POST", f"{self._of(container)}/start")

    async def pause(self, container: str) -> None:
        await self._ask("POST", f"{self._of(container)}/pause")

    async def unpause(self, container: str) -> None:
        await self._ask("POST", f"{self._of(container)}/unpause")

    async def kill(self, container: str) -> None:
        await self._ask("POST", f"{self._of(container)}/kill")

    async def remove_container(self, container: str, *, v: bool, force: bool) -> None:
        await self._ask("DELETE", self._of(container), {"v": str(int(v)), "force": str(int(force))})

    def _of(self, container: str) -> str:
        return f"{self.prefix}/containers/{container}"

    async def _json(self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None) -> Any:
        return msgspec.json.decode(await self._ask(method, path, query, body))

    async def _ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None
    ) -> bytes:
        connector, base = self._way()
        async with (
            aiohttp.ClientSession(base, connector=connector, timeout=self._timeout) as session,
            session.request(method, path, params=query, json=body) as answer,
        ):
            said = await answer.read()
        if answer.status >= 400:
            raise Refused(answer.status, _explanation(said))
        return said

    def _way(self) -> tuple[aiohttp.BaseConnector, str]:
        if self._address.scheme == "unix":
            return aiohttp.UnixConnector(self._address.path), "http://docker"
        host, port = self._address.hostname, self._address.port or PORT
        return aiohttp.TCPConnector(), f"http://{host}:{port}"


def container_config(**options: Any) -> dict[str, Any]:
    """Return what the engine is to be sent for docker-py's arguments of `create_container`."""
    added = {name: value for name, value in options.items() if _NO_ADDITION.get(name, ...) != value}
    return {_CONTAINER[name]: _spelled(value) for name, value in added.items()}


def _spelled(value: Any) -> Any:
    """Spell names as the engine does; other names, those of labels say, are left alone."""
    if isinstance(value, list):
        return [_spelled(item) for item in value]
    if isinstance(value, dict) and value.keys() <= _INNER.keys():
        return {_INNER[name]: inner for name, inner in value.items()}
    return value


def _explanation(said: bytes) -> str:
    try:
        return str(msgspec.json.decode(said)["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return said.decode(errors="replace").strip()[:500]
