"""How a job ended, and what trust means, in words for the person who sent it."""

from homie_core.model.control import JobView
from homie_core.model.job import How, Limits, Outcome
from homie_core.model.peer import Peer
from homie_core.model.quantity import show_duration, show_size


def in_words(outcome: Outcome, peer: str, limits: Limits | None, option: str = "--{}") -> str:
    """Return one sentence, with the way out and the host's reason where there are such.

    `option` is how its reader writes an option, with {} for its name.
    """
    sentence = _sentence(outcome, peer, limits, option)
    if outcome.detail and outcome.how in _EXPLAINED:
        sentence = f"{sentence} ({outcome.detail.rstrip('.')})"
    return sentence


def standing(view: JobView) -> str:
    """Return in a few words how a job stands."""
    if view.outcome:
        return _END.get(view.outcome.how) or _exited(view.outcome.status)
    if view.state is None:
        return f"not known: {view.note}"
    return f"{view.state.value}, {view.note}" if view.note else view.state.value


def trusted_in_words(peer: Peer) -> str:
    """Return what it means that this peer is trusted now."""
    return (
        f"{peer.name} is trusted (key {peer.id[:12]}): in sessions that you start from now on, its outputs are "
        "shown unfiltered.\nWhat it sends may then run JavaScript in your notebook, which can read your files, "
        f"run code on this machine and reach the network. Whoever controls {peer.name} can do that.\n"
        f"Another key under that name is not trusted. To take it back: homie untrust {peer.name}"
    )


def untrusted_in_words(which: str) -> str:
    """Return what it means that a peer is trusted no longer."""
    return (
        f"{which} is not trusted any more: in sessions that you start from now on, its outputs are filtered.\n"
        "What it has put into notebooks already stays there: clear those outputs."
    )


_END = {
    How.DEADLINE: "out of time",
    How.MEMORY: "out of memory",
    How.OUTPUT: "too much output",
    How.DISK: "out of disk",
    **{how: how.value for how in (How.STOPPED, How.EVICTED, How.KILLED, How.LOST, How.FAILED, How.IDLE)},
    **{how: how.value for how in (How.LAPSED, How.EXPIRED)},
}
"""What lists say of an end that was not the job's own doing."""
_EXPLAINED = (How.EVICTED, How.LOST, How.FAILED, How.EXPIRED)
"""For these the host's detail says more than the sentence does."""


def _exited(status: int) -> str:
    return f"status {status}" if status else "done"


def _sentence(outcome: Outcome, peer: str, limits: Limits | None, option: str) -> str:
    match outcome.how:
        case How.EXITED if outcome.status == 0:
            return "done"
        case How.EXITED:
            return f"it ended with status {outcome.status}"
        case How.DEADLINE:
            time = f" of {show_duration(limits.timeout)}" if limits else ""
            more = option.format("timeout")
            return f"stopped: its running time{time} on {peer} was used up; ask for more with {more}"
        case How.MEMORY:
            size = f" than the {show_size(limits.memory)} it was lent" if limits else " than it was lent"
            return f"stopped: it needed more memory{size} on {peer}; ask for more with {option.format('ram')}"
        case How.OUTPUT:
            size = f" than {show_size(limits.output)}" if limits else " than it may"
            return f"stopped: it wrote more{size} of output on {peer}; write to a file instead, which comes back"
        case How.DISK:
            size = f" than the {show_size(limits.disk)} it was lent" if limits else " than it was lent"
            return f"stopped: it needed more disk{size} on {peer}; write less, or ask its owner to lend more"
        case How.STOPPED:
            return "stopped, as you asked"
        case How.EVICTED:
            return f"stopped: the owner of {peer} took the machine back; run it again to use another one"
        case How.KILLED:
            return f"killed: someone on {peer} ended its sandbox from outside; run it again"
        case How.LOST:
            return f"lost: its sandbox on {peer} vanished before it had ended; run it again"
        case How.FAILED:
            return f"{peer} could not start it"
        case How.IDLE:
            time = f" for {show_duration(limits.idle)}" if limits else ""
            return f"ended: nobody used it{time}, so {peer} took back what it had lent; its variables are gone"
        case How.LAPSED:
            return f"stopped: {peer} had not heard of this machine for too long; run it again"
        case How.EXPIRED:
            return f"its files never arrived in full on {peer}; run it again"
