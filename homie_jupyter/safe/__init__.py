"""What a peer sends, before the notebook publishes it.

JupyterLab trusts what a cell of the user puts out: HTML and scripts in it act with the user's rights. So the
messages of a session on a peer go through a `Filter`.

bundle.py    which forms of an output may be shown
html.py css.py (allowed.py), tex.py markdown.py charts.py    each made harmless
scripts.py   outputs that need scripts, in frame.py      libraries.py   charts' JavaScript that this machine has
widgets.py   what widgets may be                         values.py      bounded JSON and text

Nothing of this is imported before a message needs it.
"""

from homie_jupyter.safe.filter import Filter, Filtered

__all__ = ["Filter", "Filtered"]
