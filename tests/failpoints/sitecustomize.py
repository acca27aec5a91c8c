"""Found by a daemon that is started with this folder on PYTHONPATH: it dies, as by `kill -9`, where it is told to.

FAILPOINT is a file; while it is there, its text names a function and a moment, and how many calls pass before:
`homie_core.store.journal:Journal.begin after 3`. Whoever gets there removes the file and dies.
"""

import functools
import importlib
import os
import signal
import sys


def watch(path):
    import inspect
    from pathlib import Path

    file = Path(path)

    def die_at(place, moment):
        wish = file.read_text().split() if file.exists() else []
        if wish[:2] != [place, moment]:
            return
        left = int(wish[2]) if wish[2:] else 0
        if left:
            file.write_text(f"{place} {moment} {left - 1}")
            return
        file.unlink()
        os.kill(os.getpid(), signal.SIGKILL)

    def wrap(place, function):
        @functools.wraps(function)
        def call(*args, **options):
            die_at(place, "before")
            result = function(*args, **options)
            if not inspect.isawaitable(result):
                die_at(place, "after")
                return result
            return then(place, result)

        return call

    async def then(place, result):
        result = await result
        die_at(place, "after")
        return result

    for place in os.environ["FAILPOINTS"].split():
        module, _, name = place.partition(":")
        owner = importlib.import_module(module)
        *outer, last = name.split(".")
        for each in outer:
            owner = getattr(owner, each)
        found = owner.__dict__[last]
        kind = type(found) if isinstance(found, classmethod | staticmethod) else None
        inner = wrap(place, found.__func__ if kind else found)
        setattr(owner, last, kind(inner) if kind else inner)


if os.environ.get("FAILPOINT") and "homie_core.daemon" in sys.orig_argv:
    watch(os.environ["FAILPOINT"])
