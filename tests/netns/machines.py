"""Hosts of a LAN with a person's home on each."""

import json
import subprocess
import sys
import time
from pathlib import Path

HOMIE = Path(sys.executable).with_name("homie")


class Machine:
    """A host of the LAN with a person's home on it."""

    def __init__(self, host, folder, name, image):
        self.host, self.name = host, name
        self.home = folder / name
        self.env = {"HOMIE_HOME": str(self.home), "NO_COLOR": "1"}
        self.image = image

    def homie(self, *words, timeout=60.0):
        return self.host.run([HOMIE, *words], env=self.env, timeout=timeout).stdout

    def join(self, secret=None):
        group = ("--secret", secret) if secret else ("--new-group",)
        self.homie("setup", "--name", self.name, *group, "--yes")
        self.homie("config", "set", "container_base_image", self.image)
        return self.homie("config", "get", "group_secret").strip()

    def peers(self):
        return json.loads(self.homie("peers", "--json"))

    def sees(self, other):
        return any(peer["name"] == other and peer["online"] for peer in self.peers())

    def down(self):
        """End its daemon, if it ever had one."""
        if self.home.exists():
            self.host.popen([HOMIE, "down"], env=self.env, stderr=subprocess.DEVNULL).wait(30)


def wait_until(true, within):
    until = time.monotonic() + within
    while not true():
        assert time.monotonic() < until, f"not within {within} s"
