"""The NVIDIA cards of this machine, by NVML; what is wrong with them becomes a sentence, never an error."""

import ctypes
import re
import sys
from contextlib import suppress
from types import ModuleType

from homie_core.model.peer import Gpu

MAX_CARDS = 16
_UUID = re.compile(r"[A-Za-z0-9-]{1,80}")
_REASONS = {
    "LibraryNotFound": "no NVIDIA driver is installed",
    "DriverNotLoaded": "the NVIDIA driver is installed but not loaded; `nvidia-smi` says more",
    "LibRmVersionMismatch": "the NVIDIA driver was updated under the running one; restart this machine",
    "FunctionNotFound": "the NVIDIA driver is too old; update it",
    "NoPermission": "this user may not use the NVIDIA driver; look at the rights of /dev/nvidia*",
    "GpuIsLost": "it fell off the bus; restart this machine",
    "NotSupported": "it does not tell its memory",
}


class Gpus:
    """Reads the cards; one caller at a time (the first read loads the driver and may take a second)."""

    def __init__(self) -> None:
        self.trouble = ""
        """Why cards are missing from the last read, in words; empty if all is well."""
        self._nvml: ModuleType | None = None

    def read(self) -> tuple[Gpu, ...]:
        """Return the cards that answer now; never raises, `trouble` then says why some or all are missing."""
        if not _driver():
            self.trouble = _REASONS["LibraryNotFound"]
            return ()
        try:
            import pynvml  # 14 MB, which a machine without a card need not pay
        except ImportError as error:
            self.trouble = f"the package nvidia-ml-py cannot be loaded ({error})"
            return ()
        troubles: list[str] = []
        cards: list[Gpu] = []
        try:
            if self._nvml is None:
                pynvml.nvmlInit()
                self._nvml = pynvml
            for index in range(min(pynvml.nvmlDeviceGetCount(), MAX_CARDS)):
                try:
                    cards.append(_card(pynvml, index))
                except (pynvml.NVMLError, ValueError) as error:
                    troubles.append(f"card {index}: {_reason(error)}")
        except pynvml.NVMLError as error:
            troubles.append(_reason(error))
        if troubles and self._nvml:
            # start afresh next time: only a new session sees a driver or a card come back
            self._nvml = None
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()
        self.trouble = "; ".join(troubles)
        return tuple(cards)


def _driver() -> bool:
    """Return whether there is a driver's library for pynvml to load."""
    if sys.platform == "win32":  # it may lie in several places: pynvml knows them
        return True
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True


def _card(pynvml: ModuleType, index: int) -> Gpu:
    """Return one card; raise NVMLError as the driver says, ValueError for an answer without sense."""
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    uuid = pynvml.nvmlDeviceGetUUID(handle)
    if not _UUID.fullmatch(uuid):
        raise ValueError(f"the driver names it {uuid[:80]!a}, which is no id")
    name = "".join(filter(str.isprintable, pynvml.nvmlDeviceGetName(handle)))[:80]
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(name=name, uuid=uuid, vram_total=memory.total, vram_free=min(memory.free, memory.total))


def _reason(error: Exception) -> str:
    # str() of an NVMLError may ask the library that is the trouble; the class is named after the code.
    kind = type(error).__name__.removeprefix("NVMLError_")
    if kind == type(error).__name__:
        return str(error) if isinstance(error, ValueError) else f"NVML error {getattr(error, 'value', '?')}"
    return _REASONS.get(kind, f"NVML says {kind}")
