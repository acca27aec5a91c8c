"""Variables of the notebook that go with a cell, come back after it, or stay there."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from homie_core.client.values import Kept, Packed, wish
from homie_core.model.errors import HomieError
from homie_jupyter.options import Options

if TYPE_CHECKING:
    from homie_core.client.session import Session


class Remote:
    """A value that stays in a session: what `--keep` leaves here in its place."""

    def __init__(self, session: "Session", kept: Kept, pull: Callable[["Session", str], Any]) -> None:
        self._session, self._kept, self._pull = session, kept, pull

    def __repr__(self) -> str:
        return f"<{self._kept.name} on {self._session.peer}: {self._kept}>"

    def get(self) -> Any:
        """Bring it here and return it. Raises HomieError."""
        return self._pull(self._session, self._kept.name)

    def is_in(self, session: "Session", name: str) -> bool:
        """Whether it is this variable of this session."""
        return session is self._session and name == self._kept.name

    def __reduce__(self) -> Any:
        raise TypeError(f"it stays on {self._session.peer}; `.get()` brings it here")


def wish_for(options: Options, packed: Packed, parcel: str | None, trusted: bool) -> dict[str, Any] | None:
    """Return what a cell's request says of values and files; None if it wishes for nothing."""
    if not (packed.names or options.outputs or options.offers or options.keeps or options.gets):
        return None
    return wish(
        packed,
        options.outputs,
        options.keeps,
        options.gets,
        options.offers,
        options.auto_limit,
        parcel=parcel,
        pickles=trusted,
    )


def names_in(given: Iterable[str], option: str) -> tuple[str, ...]:
    """Return the names of variables behind an option: `a,b`, several times. Raises HomieError."""
    names = [name for each in given for name in re.split(r"[,\s]+", each) if name]
    for name in names:
        if not name.isidentifier():
            raise HomieError(f"{option} takes names of variables, such as `{option} a,b`, not {name!r}")
    return tuple(dict.fromkeys(names))


def values_to_send(
    names: Iterable[str], namespace: Mapping[str, Any], session: "Session | None"
) -> dict[str, Any]:
    """Return the values of these variables, but for those that are in this session already. Raises HomieError."""
    values = values_of(names, namespace)
    return {
        name: value
        for name, value in values.items()
        if not (isinstance(value, Remote) and session is not None and value.is_in(session, name))
    }


def values_of(names: Iterable[str], namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of these variables of the notebook. Raises HomieError."""
    values = {}
    for name in names:
        if name not in namespace:
            mine = [each for each in namespace if not each.startswith("_")]
            close = difflib.get_close_matches(name, mine, 1)
            meant = f"; did you mean `{close[0]}`?" if close else ""
            raise HomieError(f"there is no variable `{name}` here{meant}")
        values[name] = namespace[name]
    return values
