"""Files that come while a session runs: written by the runner, inside, with the job's own rights.

So a name or a link that the job has laid in the way can only ever mislead the job itself.
"""

import contextlib
import os


class Incoming:
    """One file on its way; it gets its name when it is whole."""

    def __init__(self, folder: str, name: str, size: int, executable: bool) -> None:
        self._target = os.path.join(folder, name)
        self._left = size
        self._mode = 0o755 if executable else 0o644
        self._fd = -1
        self.error = ""
        """Why it cannot be written, in words."""
        try:
            os.makedirs(os.path.dirname(self._target), exist_ok=True)
            self._part = os.path.join(os.path.dirname(self._target), f".homie-{os.urandom(6).hex()}")
            self._fd = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            self._fail(error)

    @property
    def complete(self) -> bool:
        return self._left <= 0

    def write(self, data: bytes) -> None:
        """Take the next bytes; what cannot be written is noted, the rest is then passed over."""
        self._left -= len(data)
        try:
            while self._fd >= 0 and data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            self._fail(error)

    def publish(self) -> None:
        """Give the whole file its name."""
        if self._fd < 0:
            return
        try:
            os.fchmod(self._fd, self._mode)
            os.close(self._fd)
            self._fd = -1
            os.replace(self._part, self._target)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.error = f"{os.path.basename(self._target)} cannot be written there: {error.strerror}"
        self.abandon()

    def abandon(self) -> None:
        """Leave nothing of it behind."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            with contextlib.suppress(OSError):
                os.unlink(self._part)
