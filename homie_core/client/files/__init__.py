"""Files that go to a peer and come from it, by their names or by patterns.

choose.py   which files are meant here, under which names they go
get.py      which ones a session offers, where they go here
"""

from homie_core.client.files.choose import Chosen, chosen
from homie_core.client.files.get import Offer, checked_globs, fresh_folder

__all__ = ["Chosen", "Offer", "checked_globs", "chosen", "fresh_folder"]
