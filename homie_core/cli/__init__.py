"""The `homie` command: loads only the command that was typed, and turns errors into one message.

run.py       run, attach, stop         setup.py   setup              up.py, dashboard.py  up, down
follow.py    one run as it is shown    config.py  config, whoami     demo.py              demo
screen.py, terminal.py, render.py      peers.py   peers, jobs, add, remove
"""

from homie_core.cli.main import main

__all__ = ["main"]
