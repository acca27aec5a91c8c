"""Ids as distinct types, and the one rule for file names that come from another machine."""

from typing import Annotated, NewType

from msgspec import Meta

from homie_core.model.errors import UnsafeName

PeerId = NewType("PeerId", Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")])
"""A node: SHA-256 of its public key (SubjectPublicKeyInfo, DER), in hex. Never its name."""

GroupId = NewType("GroupId", Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")])
"""A group, safe to show: it is derived from the secret and does not lead back to it."""

JobId = NewType("JobId", Annotated[str, Meta(pattern=r"^[0-9a-f]{12}\Z")])
"""A job, chosen by its submitter (so that submitting twice starts once): 48 random bits in hex."""

Digest = NewType("Digest", Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")])
"""A file's content: SHA-256 in hex."""

FileName = NewType("FileName", Annotated[str, Meta(min_length=1, max_length=1024)])
"""A relative POSIX path that `safe_file_name` has let through."""

NODE_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}\Z"
NodeName = NewType("NodeName", Annotated[str, Meta(pattern=NODE_NAME_PATTERN)])
"""What people call a node: letters, digits, dot, dash, underscore; at most 40 of them."""

MAX_DEPTH = 32


def safe_file_name(name: str) -> FileName:
    """Return the name if it can only mean a file below a folder of ours; raise UnsafeName otherwise.

    Refused: absolute names, drive letters, backslashes, `.` and `..`, empty or over-long components, more
    than 32 levels, and whatever cannot be printed (control characters, NUL, bidirectional overrides,
    undecodable bytes), because names also end up on terminals.
    """
    if not name or len(name) > 1024:
        raise UnsafeName.because(name, "empty or longer than 1024 characters")
    if not name.isprintable():
        raise UnsafeName.because(name, "it contains characters that cannot be printed")
    if name.startswith("/") or "\\" in name or name[1:2] == ":":
        raise UnsafeName.because(name, "it is not a relative path")
    parts = name.split("/")
    if len(parts) > MAX_DEPTH:
        raise UnsafeName.because(name, f"it is nested deeper than {MAX_DEPTH} levels")
    for part in parts:
        if part in ("", ".", ".."):
            raise UnsafeName.because(name, "it has an empty, '.' or '..' component")
        if len(part.encode()) > 255:
            raise UnsafeName.because(name, "a component is longer than 255 bytes")
    return FileName(name)
