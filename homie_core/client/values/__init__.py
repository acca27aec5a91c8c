"""Values that come from a sandbox: read without running anything, whatever they claim to be.

reader.py   from description and buffers (`homie_core.runner.values`) to a value
arrays.py   numpy and torch: raw numbers, whose size must be what is said
arrow.py    pandas, polars, pyarrow: a stream that is checked before and after it is opened
claims.py   what is left of what a stranger claims
pictures.py raw pixels; a figure's PNG
"""

from homie_core.client.values.claims import Malformed
from homie_core.client.values.pictures import Figure
from homie_core.client.values.reader import Untrusted, read

__all__ = ["Figure", "Malformed", "Untrusted", "read"]
