"""Values that come from a sandbox: read without running anything, whatever they claim to be.

read.py     from description and buffers (`homie_core.runner.values`) to a value
arrays.py   numpy and torch: raw numbers, whose size must be what is said
arrow.py    pandas, polars, pyarrow: a stream that is checked before and after it is opened
pictures.py raw pixels; a figure's PNG
"""

from homie_core.client.values.pictures import Figure
from homie_core.client.values.read import Malformed, Untrusted, read

__all__ = ["Figure", "Malformed", "Untrusted", "read"]
