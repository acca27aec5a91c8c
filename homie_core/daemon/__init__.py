"""The daemon: one process per user that knows keys, peers and jobs. `homie-daemon` runs it in front."""

from homie_core.daemon.main import main

__all__ = ["main"]
