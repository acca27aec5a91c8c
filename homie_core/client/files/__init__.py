"""Files that go to a peer by their names or by patterns.

choose.py   which files are meant, under which names there
"""

from homie_core.client.files.choose import Chosen, chosen

__all__ = ["Chosen", "chosen"]
