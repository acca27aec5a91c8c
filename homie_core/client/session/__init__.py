"""A session: cells that run one after another on a peer, whatever front end they come from.

session.py    what it is told                     listening.py  what it says
letters.py    what who waits for a cell hears     output.py     what is needed of who shows its output
messages.py   Jupyter messages: bytes to types
"""

from homie_core.client.session.letters import Answered, Broken, Letter, Over, Progress, Question, Reader, Sent
from homie_core.client.session.messages import Header, Message, new_header
from homie_core.client.session.output import Output
from homie_core.client.session.session import Session, cell_message

__all__ = [
    "Answered",
    "Broken",
    "Header",
    "Letter",
    "Message",
    "Output",
    "Over",
    "Progress",
    "Question",
    "Reader",
    "Sent",
    "Session",
    "cell_message",
    "new_header",
]
