"""Whom a job is offered to next: the one where it waits least, as far as is known.

Each peer is first asked to take it only if it can start at once, the best one first. One where it would have to
wait says at which place, and is asked again when nobody is known where it waits less, and then only for that place
or a better one. So several who submit at the same moment do not all end on the peer that seemed best to each.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from homie_core.model.event import Queued
from homie_core.model.names import PeerId
from homie_core.model.peer import Peer

ROUNDS = 3
"""How often each peer is asked on average, before a place is taken as it comes."""


@dataclass(frozen=True)
class Next:
    """Offer it to this peer, who was chosen for this reason, for a place of at most so much (None: for any)."""

    peer: Peer
    why: str
    most: int | None


@dataclass
class Asking:
    """One job on its way to a host; `choices` are the peers that could take it, best first, with the reasons."""

    choices: Iterable[tuple[Peer, str]]
    _left: dict[PeerId, Next] = field(default_factory=dict)
    _asks: int = 0

    def __post_init__(self) -> None:
        self._left = {peer.id: Next(peer, why, 0) for peer, why in self.choices}
        self._asks = ROUNDS * len(self._left)

    def next(self) -> Next | None:
        """Return whom to ask; None if nobody is left."""
        if not self._left:
            return None
        best = min(self._left.values(), key=lambda each: each.most or 0)
        self._asks -= 1
        if len(self._left) == 1 or self._asks < 0:
            return Next(best.peer, best.why, None)
        return best

    def waits(self, peer: Peer, at: Queued) -> None:
        """It would wait there at this place."""
        self._left[peer.id] = Next(peer, f"place {at.position} in its queue, where it {at.reason}", at.position)

    def drop(self, peer: Peer) -> None:
        """This one does not take it."""
        del self._left[peer.id]
