"""What a person must read when something is wrong: what, why, and the next command.

HomieError
├── ConfigError          the configuration cannot be used
├── IdentityError        keys or secret are missing, damaged or readable by others
├── DaemonUnreachable    my own daemon does not answer
├── NoPeer               nobody suitable is there
├── PeerUnreachable      a peer does not answer
├── PeerRefused          a peer answered no, and said why
├── CannotSend           a local file that was named for a job cannot be sent
├── UnsafeName           a file name that could leave its folder
├── BadMessage           bytes from elsewhere that are no message of ours
├── IllegalTransition    an event that cannot happen to a job in this state
├── TransferError        a file did not arrive as it was announced
├── CannotWrite          the state of this node cannot be written down: a full disk, or a broken one
├── JournalUnusable      the journal is damaged, or of a newer version
└── SandboxError         no sandbox, or one that could not be made
"""

from typing import Self


class HomieError(Exception):
    """Something a person must read; `str()` of it is the whole message.

    A subclass's docstring is for its developer; the text given here is for its reader: what happened, why,
    and the command that helps.
    """


class ConfigError(HomieError):
    """The configuration cannot be used: file, line, key, and what is allowed."""


class IdentityError(HomieError):
    """Keys or secret are missing, damaged, or readable by other users of this machine."""


class DaemonUnreachable(HomieError):
    """The daemon of this user does not answer on its socket."""


class NoPeer(HomieError):
    """No peer fits what was asked; the text says what was asked, who is there, and why they do not fit."""


class PeerUnreachable(HomieError):
    """A peer could not be reached, or could not prove who it is."""


class LinkBroke(PeerUnreachable):
    """The link to a peer broke after it had been asked something: perhaps it has heard it, perhaps not."""


class NoRoom(LinkBroke):
    """A peer is there and cannot write down what it was told: that is to be said again when it has room."""


class PeerRefused(HomieError):
    """A peer understood the request and said no; the text is its reason."""


class CannotSend(HomieError):
    """A local file named for a job is missing, unreadable, no regular file, or one of two with one name."""


class UnsafeName(HomieError):
    """A file name from elsewhere that could mean a file outside its folder, or garble a terminal."""

    @classmethod
    def because(cls, name: str, why: str) -> Self:
        return cls(f"unsafe file name {name[:80]!a}: {why}")


class BadMessage(HomieError):
    """Bytes from elsewhere that are not the message that belongs there."""


class IllegalTransition(HomieError):
    """An event that cannot happen to a job in its present state; carries the job's story."""


class TransferError(HomieError):
    """A file did not arrive as it was announced (size, digest), or the link broke."""


class CannotWrite(HomieError):
    """The state of this node cannot be written down: its disk is full, or broken. Nothing is acknowledged then."""


class JournalUnusable(HomieError):
    """The journal is damaged, or was written by a newer version; the text says what to do and what it costs."""


class SandboxError(HomieError):
    """No sandbox can be used here, or this one could not be made, started or reached."""


class EngineAway(SandboxError):
    """The engine of containers does not answer: it was stopped, or is on its way back."""
