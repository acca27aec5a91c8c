"""JavaScript of chart libraries, taken from the Python packages that this machine has installed.

A peer's chart refers to a copy on the internet, which a frame does not reach.
"""

import importlib
import importlib.util
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any


@lru_cache(maxsize=1)
def plotly() -> str | None:
    """Return plotly.js, or None if the package plotly is not installed."""
    return _file("plotly", "package_data/plotly.min.js")


@lru_cache(maxsize=1)
def bokeh() -> str | None:
    """Return BokehJS with its widgets and tables, or None if the package bokeh is not installed."""
    names = ("bokeh", "bokeh-widgets", "bokeh-tables")
    files = [_file("bokeh", f"server/static/js/{name}.min.js") for name in names]
    return ";\n".join(file for file in files if file) if files[0] else None


def bokeh_version() -> str:
    """Return the version of the installed bokeh; empty if there is none."""
    try:
        return metadata.version("bokeh")
    except metadata.PackageNotFoundError:
        return ""


@lru_cache(maxsize=1)
def vega() -> str | None:
    """Return Vega, Vega-Lite and Vega-Embed, or None if the package vl-convert-python is not installed."""
    if importlib.util.find_spec("vl_convert") is None:
        return None
    vl_convert: Any = importlib.import_module("vl_convert")
    return inline(str(vl_convert.javascript_bundle()))


def _file(package: str, path: str) -> str | None:
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        file = Path(folder, path)
        if file.is_file():
            return inline(file.read_text(encoding="utf-8"))
    return None


def inline(script: str) -> str:
    """Return the script as it may stand between script tags."""
    return script.replace("</script", r"<\/script").replace("<!--", r"<\!--")
