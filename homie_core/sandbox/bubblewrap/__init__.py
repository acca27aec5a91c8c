"""Sandboxes without an engine: bubblewrap, and the Python that Homie itself runs in. Linux only.

backend.py    the kind of sandbox: tried, made, swept    arguments.py  what a job may do, as bwrap's arguments
sandbox.py    one job's sandbox                          syscalls.py   seccomp.json as a program for the kernel
launcher.py   start bwrap, wait for it                   cgroups.py    limits that the kernel holds
records.py    what a later life of the daemon ends       machine.py    what this machine has, or why it cannot
"""

from homie_core.sandbox.bubblewrap.backend import Bubblewrap

__all__ = ["Bubblewrap"]
