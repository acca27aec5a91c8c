"""A function on a peer."""

from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, Unpack, overload

from homie_core.api.asking import Options, Where, where
from homie_core.api.call import Call
from homie_core.api.console import announce, printer
from homie_core.api.errors import OURS
from homie_core.api.workers import pool_for
from homie_core.client.job import Job
from homie_core.client.values import Given, Packed
from homie_core.model.errors import CannotSend, ConfigError, DaemonUnreachable, NoPeer

P = ParamSpec("P")
T = TypeVar("T")

CALL = f"_homie_value = {OURS}[0](*{OURS}[1], **{OURS}[2])"
VALUE = "globals().pop('_homie_value')"
NOBODY = NoPeer, DaemonUnreachable, ConfigError
"""Errors after which `or_local` runs a function here: nothing of it has begun anywhere."""


def run(function: Callable[..., T], *args: Any, **options: Unpack[Options]) -> T:
    """Run `function(*args)` on a peer, and return its value; what it prints is shown as it comes.

    Options: `node`, `gpu`, `vram`, `cpus`, `ram`, `timeout`. Raises RemoteError if the function fails,
    HomieError if it cannot be run. For keyword arguments: `remote(function)(*args, **keywords)`.
    """
    return _finished(_sent(function, args, {}, where(**options), printer()))


def submit(function: Callable[..., T], *args: Any, **options: Unpack[Options]) -> Job[T]:
    """Run `function(*args)` on a peer, without waiting for it; options as for `run`."""
    return _sent(function, args, {}, where(**options), None)


class Remote(Generic[P, T]):
    """A function that runs on a peer when it is called; `.local` runs it here, `.submit` does not wait."""

    def __init__(self, function: Callable[P, T], where: Where, or_local: bool) -> None:
        self._function, self._where, self._or_local = function, where, or_local
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **keywords: P.kwargs) -> T:
        """Run it on a peer, and return its value. Raises RemoteError, HomieError."""
        try:
            job = _sent(self._function, args, keywords, self._where, printer())
        except NOBODY as error:
            if not self._or_local:
                raise
            name = getattr(self._function, "__name__", "the function")
            announce(f"{name} runs on this machine, as or_local allows: {error}")
            return self._function(*args, **keywords)
        return _finished(job)

    def submit(self, *args: P.args, **keywords: P.kwargs) -> Job[T]:
        """Run it on a peer, without waiting for it."""
        return _sent(self._function, args, keywords, self._where, None)

    def local(self, *args: P.args, **keywords: P.kwargs) -> T:
        """Run it here."""
        return self._function(*args, **keywords)

    def __reduce__(self) -> Any:
        return partial, (self._function,)  # on a peer it is the function: Homie is not there


@overload
def remote(function: Callable[P, T], /) -> Remote[P, T]: ...
@overload
def remote(
    function: None = None, /, *, or_local: bool = False, **options: Unpack[Options]
) -> Callable[[Callable[P, T]], Remote[P, T]]: ...
@overload
def remote(function: Callable[P, T], /, *, or_local: bool = False, **options: Unpack[Options]) -> Remote[P, T]: ...
def remote(function: Any = None, /, *, or_local: bool = False, **options: Unpack[Options]) -> Any:
    """Make a function one that runs on a peer: `@remote`, or `@remote(gpu=True)` with options as for `run`.

    With `or_local=True` it runs here, and says so, when no peer can be had; never otherwise.
    """
    there = where(**options)
    if function is None:
        return lambda function: Remote(function, there, or_local)
    return Remote(function, there, or_local)


def packed_call(function: Callable[..., Any], args: Any, keywords: dict[str, Any]) -> Packed:
    """Return a call, ready to go. Raises CannotSend, which names the argument that is in the way."""
    try:
        return Packed({OURS: (function, args, keywords)})
    except CannotSend:
        name = getattr(function, "__name__", "the function")
        parts: dict[str, Any] = {name: function}
        parts.update((f"argument {index} of {name}", value) for index, value in enumerate(args, 1))
        parts.update((f"argument {key} of {name}", value) for key, value in keywords.items())
        for label, value in parts.items():
            Packed({label: value})
        raise


def only(came: Given) -> Any:
    """Return the only value that came. Raises NotGiven if it did not."""
    came.check()
    return next(iter(came.values.values()))


def _sent(
    function: Callable[..., T], args: Any, keywords: Any, there: Where, prints: Callable[[str, str], None] | None
) -> Job[T]:
    packed = packed_call(function, args, keywords)
    label = f"{getattr(function, '__name__', 'function')}(...)"
    job: Call[T] = Call(CALL, packed, (VALUE,), only, labels=(label,), timeout=there.timeout, prints=prints)
    pool_for(there).run(job)
    return job


def _finished(job: Job[T]) -> T:
    try:
        return job.result()
    except KeyboardInterrupt:
        job.cancel()
        raise
