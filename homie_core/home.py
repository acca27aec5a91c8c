"""Where Homie keeps everything of this user; apart from the configuration: not everyone needs its YAML."""

import os
from pathlib import Path

from homie_core.model.errors import ConfigError


def home() -> Path:
    """Return the folder of everything Homie keeps for this user: `HOMIE_HOME`, else `~/.homie`."""
    try:
        return Path(os.environ.get("HOMIE_HOME") or "~/.homie").expanduser().absolute()
    except RuntimeError as error:
        raise ConfigError("this user has no home folder; say where: export HOMIE_HOME=/some/folder") from error


def config_file(home: Path) -> Path:
    """Return where the configuration of that home folder lies."""
    return home / "config.yaml"
