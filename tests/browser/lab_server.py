"""A JupyterLab server of the tests' own: nothing of it is the developer's, nothing leaves this machine.

    with LabServer(folder, env) as server:
        server.url("lab")

Its settings, data, runtime files and notebooks are all below `folder`.
"""

import json
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

JUPYTER = Path(sys.executable).with_name("jupyter")
START_WITHIN = 60.0
"""Seconds that the server gets to answer."""
END_WITHIN = 20.0
"""Seconds that it gets to end its kernels and itself."""

CONFIG = {
    "ServerApp": {
        "ip": "127.0.0.1",
        "port": 0,
        "open_browser": False,
        "allow_root": True,
    },
    "LabApp": {
        "news_url": None,
        "check_for_updates_class": "jupyterlab.handlers.announcements.NeverCheckForUpdate",
        "extension_manager": "readonly",
        "collaborative": False,
    },
}
PAGE = {
    "disabledExtensions": {
        "@jupyterlab/apputils-extension:announcements": True,
        "@jupyterlab/extensionmanager-extension": True,
    }
}
SETTINGS = {
    # All cells are in the page: a test reads what a person would scroll to.
    "notebook-extension/tracker": {"windowingMode": "none"},
    # What a test saves, it saves itself.
    "docmanager-extension/plugin": {"autosave": False},
}


class LabServer:
    """`jupyter lab` on a free port of loopback while the `with` lasts; its kernels get `env`."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.root = folder / "notebooks"
        self.log = folder / "server.log"
        self.data = folder / "data"
        """Where kernels are installed."""
        self._folder = folder
        self._runtime = folder / "runtime"
        self._token = secrets.token_hex(16)
        self._address = ""
        self._env = {name: value for name, value in env.items() if not name.startswith(("JUPYTER", "JPY"))} | {
            "HOME": str(folder / "home"),
            "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(self.data),
            "JUPYTER_RUNTIME_DIR": str(self._runtime),
            "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
            "JUPYTER_TOKEN": self._token,
        }

    def __enter__(self) -> Self:
        for folder in (self.root, self._runtime, self._folder / "home"):
            folder.mkdir(parents=True)
        _write(self._folder / "config" / "jupyter_lab_config.json", CONFIG)
        _write(self._folder / "config" / "labconfig" / "page_config.json", PAGE)
        for name, settings in SETTINGS.items():
            _write(self._folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings", settings)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [JUPYTER, "lab", f"--ServerApp.root_dir={self.root}"],
                env=self._env,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def url(self, path: str, query: str = "") -> str:
        """Return the address of a page, which signs in whoever opens it."""
        return f"{self._address}{urllib.parse.quote(path)}?token={self._token}{query and '&' + query}"

    def ask(self, path: str, method: str = "GET") -> Any:
        """Return what the server's REST interface says; HTTPError if it refuses."""
        request = urllib.request.Request(self.url(f"api/{path}"), method=method)
        with urllib.request.urlopen(request, timeout=END_WITHIN) as answer:
            return json.loads(answer.read() or "null")

    def end_kernels(self) -> None:
        """End every kernel, so that a test's do not cost the next one anything."""
        for session in self.ask("sessions"):
            self.ask(f"sessions/{session['id']}", "DELETE")

    def close(self) -> None:
        """End the server, which ends its kernels; harmless if it has ended."""
        self._process.terminate()
        try:
            self._process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait_until_it_answers(self) -> None:
        until = time.monotonic() + START_WITHIN
        while True:
            try:
                # Port 0 is a free one; the server writes down which.
                self._address = json.loads((self._runtime / f"jpserver-{self._process.pid}.json").read_text())[
                    "url"
                ]
                self.ask("status")
                return
            except (OSError, urllib.error.URLError, json.JSONDecodeError):
                if self._process.poll() is not None or time.monotonic() > until:
                    raise AssertionError(f"no JupyterLab:\n{self.log.read_text()}") from None
                time.sleep(0.05)


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
