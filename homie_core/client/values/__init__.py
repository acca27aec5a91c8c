"""Values to a sandbox, and back: whatever comes is read without running anything, whatever it claims to be.

pack.py     what goes: pickled
given.py    what a cell gave back
reader.py   from description and buffers (`homie_core.runner.values`) to a value
arrays.py   numpy and torch: raw numbers, whose size must be what is said
arrow.py    pandas, polars, pyarrow: a stream that is checked before and after it is opened
pictures.py raw pixels; a figure's PNG
claims.py   what is left of what a stranger claims
"""

from homie_core.client.values.claims import Malformed
from homie_core.client.values.given import Given, Kept, NotGiven, given, parcel_of
from homie_core.client.values.pack import Packed, wish
from homie_core.client.values.pictures import Figure
from homie_core.client.values.reader import Untrusted, read

__all__ = [
    "Figure",
    "Given",
    "Kept",
    "Malformed",
    "NotGiven",
    "Packed",
    "Untrusted",
    "given",
    "parcel_of",
    "read",
    "wish",
]
