"""What a cell gave back: its values, what could not come, and what it keeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from homie_core.client.files import Offer
from homie_core.client.values.claims import Buffer, Malformed
from homie_core.client.values.reader import Untrusted, read
from homie_core.model.errors import HomieError
from homie_core.model.quantity import show_size
from homie_core.model.session import Offered, ParcelName


class _Value(msgspec.Struct, frozen=True):
    name: str
    description: str | None = None
    buffers: Annotated[int, msgspec.Meta(ge=0)] = 0
    error: str = ""
    where: str = ""


class Kept(msgspec.Struct, frozen=True):
    """What is told of a value that stays where it is."""

    name: str
    type: Annotated[str, msgspec.Meta(max_length=200)]
    shape: Annotated[tuple[int, ...], msgspec.Meta(max_length=64)] | None
    bytes: Annotated[int, msgspec.Meta(ge=0, lt=2**62)]

    def __str__(self) -> str:
        shape = f", {' x '.join(map(str, self.shape))}" if self.shape else ""
        return f"{self.type}{shape}, {show_size(self.bytes)}"


class _Parcel(msgspec.Struct, frozen=True):
    parcel: ParcelName | None = None


class _Content(Offer, frozen=True, kw_only=True):
    values: list[_Value]
    kept: list[Kept]


class NotGiven(HomieError):
    """A value that was asked for did not come, and why."""


@dataclass(frozen=True)
class Given:
    """What came of what was asked for, by name; and which files can be fetched."""

    values: dict[str, Any]
    kept: dict[str, Kept]
    errors: dict[str, HomieError]
    files: tuple[Offered, ...] = ()
    notes: tuple[str, ...] = ()
    """What was left of what the patterns of files found, and why."""

    def check(self) -> None:
        """Raise NotGiven if something did not come."""
        if self.errors:
            raise NotGiven("\n".join(map(str, self.errors.values())))


def parcel_of(content: dict[str, Any]) -> ParcelName | None:
    """Return the parcel that holds this message's buffers, if one does. Raises Malformed."""
    try:
        return msgspec.convert(content, _Parcel).parcel
    except msgspec.ValidationError as error:
        raise Malformed(f"values that are none: {error}") from error


def given(
    content: dict[str, Any],
    buffers: Sequence[Buffer],
    asked: Sequence[str],
    keeps: Sequence[str],
    peer: str,
    trusted: bool,
) -> Given:
    """Return what this message of a sandbox gives and keeps of what was asked for. Raises Malformed."""
    try:
        said = msgspec.convert(content, _Content)
    except msgspec.ValidationError as error:
        raise Malformed(f"{peer} sent values that are none: {error}") from error
    values: dict[str, Any] = {}
    errors: dict[str, HomieError] = {}
    at = 0
    for name, value in zip(asked, said.values, strict=False):
        if value.description is None:
            errors[name] = NotGiven(_why(value, name, peer))
            continue
        theirs = buffers[at : at + value.buffers]
        at += value.buffers
        try:
            values[name] = read(value.description.encode("utf-8", "surrogatepass"), theirs, trusted)
        except Untrusted as error:
            errors[name] = NotGiven(f"{name}: {error}; `%homie trust {peer}` allows that")
        except HomieError as error:
            errors[name] = NotGiven(f"{name}, from {peer}: {error}")
    for name in asked[len(said.values) :]:
        errors[name] = NotGiven(f"{name}: {peer} sent nothing")
    kept = {each.name: each for each in said.kept if each.name in keeps}
    for name in keeps:
        if name not in kept:
            errors[name] = NotGiven(f"there is no variable `{name}` on {peer} to be kept")
    for what, why in said.misses.items():
        errors[f"file {what}"] = NotGiven(f"{_plain(what)} cannot come from {peer}: {_plain(why)}")
    try:
        files = said.sound()
    except ValueError as error:
        files, errors["files"] = (), Malformed(f"{peer} offers files that are none: {error}")
    return Given(values, kept, errors, files, tuple(f"{_plain(x)}: {_plain(why)}" for x, why in said.left.items()))


def _why(value: _Value, name: str, peer: str) -> str:
    error = _plain(value.error)
    if not value.where:
        return f"`{name}` cannot come from {peer}: {error}"
    where = _plain(value.where, 200)
    place = "" if where == name else f" ({where})"
    return (
        f"`{name}`{place} cannot come from {peer}: {error}. Values come back as data: numbers, text, dates, "
        f"lists, dicts, arrays, data frames, tensors, pictures. `%homie trust {peer}` lets others come as "
        "pickles, which can run anything here"
    )


def _plain(text: str, most: int = 500) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:most]
