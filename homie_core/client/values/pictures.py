"""Pictures: raw pixels, so that nothing has to be decoded; and what a figure looked like."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from homie_core.client.values.claims import Buffer, Malformed, buffer_at, integer, library, text
from homie_core.runner.values import IMAGE_MODES

_PNG = b"\x89PNG\r\n\x1a\n"


class Figure:
    """What a figure of matplotlib looked like; a notebook shows it."""

    def __init__(self, png: bytes) -> None:
        if not png.startswith(_PNG):
            raise Malformed("a figure that is no PNG")
        self.png = png

    def __repr__(self) -> str:
        width, height = (int.from_bytes(self.png[at : at + 4], "big") for at in (16, 20))
        return f"<Figure of {width} x {height} pixels>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Figure) and self.png == other.png

    __hash__ = None  # type: ignore[assignment]

    def save(self, path: str | Path) -> None:
        """Write it as a PNG file."""
        Path(path).write_bytes(self.png)

    def _repr_png_(self) -> bytes:
        return self.png


def image(node: dict[str, Any], data: Buffer, buffers: Sequence[Buffer]) -> Any:
    """Return an image of PIL."""
    images = library("PIL.Image", "a picture")
    mode = text(node["mode"], 10)
    if mode not in IMAGE_MODES:
        raise Malformed(f"a picture of mode {mode}")
    width, height = (integer(length, 2**31) for length in node["size"])
    bits = {"1": 1, "L": 8, "P": 8, "LA": 16, "I;16": 16, "RGB": 24, "YCbCr": 24, "LAB": 24, "HSV": 24}.get(
        mode, 32
    )
    if (width * bits + 7) // 8 * height != len(data):
        raise Malformed(f"{len(data)} bytes for a picture of {width} x {height}")
    picture = images.frombytes(mode, (width, height), bytes(data))
    palette = node.get("palette")
    if palette is not None and mode == "P":
        colours = buffer_at(buffers, palette["at"])
        if palette["mode"] not in ("RGB", "RGBA") or len(colours) > 1024:
            raise Malformed("a palette that is none")
        picture.putpalette(bytes(colours), palette["mode"])
    return picture
