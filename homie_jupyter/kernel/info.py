"""What the kernel says of itself; true before any peer is there, and of whichever it will be."""

import sys
from typing import Any

from homie_core import __version__


def kernel_info(node: str | None, peer: str = "") -> dict[str, Any]:
    """Return the content of `kernel_info_reply`; `peer` is where its session runs, if one does."""
    if peer:
        where = f"on {peer}"
    else:
        where = f"on {node}" if node else "on the best homie that is free; the first cell chooses it"
    return {
        "status": "ok",
        "protocol_version": "5.4",
        "implementation": "homie",
        "implementation_version": __version__,
        "language_info": {
            "name": "python",
            "version": str(sys.version_info[0]),  # the peer's is known when its session begins
            "mimetype": "text/x-python",
            "file_extension": ".py",
            "codemirror_mode": {"name": "ipython", "version": 3},
            "pygments_lexer": "ipython3",
            "nbconvert_exporter": "python",
        },
        "banner": f"Python {where} (Homie {__version__}): what you type runs there, in a sandbox.",
        "help_links": [],
        "debugger": False,
        "supported_features": [],
    }
