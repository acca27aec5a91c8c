"""The configuration: one flat YAML file per user, read into one frozen type.

settings.py  what can be set, and what each key may hold
source.py    the file's text to settings, with the place of every mistake
file.py      the file on disk: load, create, change one value and keep the rest as its owner wrote it
"""

from homie_core.config.file import (
    create,
    get_value,
    load,
    set_value,
    with_peer,
    without_peer,
)
from homie_core.config.settings import Config, show, split_peer
from homie_core.home import config_file, home

__all__ = [
    "Config",
    "config_file",
    "create",
    "get_value",
    "home",
    "load",
    "set_value",
    "show",
    "split_peer",
    "with_peer",
    "without_peer",
]
