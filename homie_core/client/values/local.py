"""The user's own modules: a peer has what can be installed, but not what lies beside a script."""

import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_PATHS = sysconfig.get_paths()
INSTALLED = tuple({f"{_PATHS[kind]}/" for kind in ("stdlib", "platstdlib", "purelib", "platlib")})
_OTHERS = "homie_core", "homie_jupyter", "__main__"


_lock = threading.RLock()


@contextmanager
def sent_whole() -> Iterator[None]:
    """Let cloudpickle take functions and classes of the user's own modules with all that they consist of."""
    import cloudpickle

    with _lock:  # what is registered is the whole process's
        known = cloudpickle.list_registry_pickle_by_value()
        mine = [
            module for name, module in list(sys.modules.items()) if name not in known and _is_local(name, module)
        ]
        for module in mine:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in mine:
                cloudpickle.unregister_pickle_by_value(module)


def _is_local(name: str, module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or file.startswith(INSTALLED) or "/site-packages/" in file:
        return False
    return name == module.__name__ and name.partition(".")[0] not in _OTHERS
