"""`%load_ext homie_jupyter`: cells that run on a friend's machine.

magics.py      %homie and %%homie: parse, delegate     transform.py  `%%homie` becomes an `await`
lines.py       the line form: peers, sessions          completion.py what may stand behind them
options.py     what stands behind `%%homie`            cell.py       one cell, from its text to its end
notebook.py    this notebook's sessions                session.py    one session: told, and heard
mailbox.py     what a waiting cell is told             messages.py   Jupyter messages, bytes to types
variables.py   variables that go along and come back   failing.py    a cell fails here as it failed there
output.py      what a session may show, and where      publish.py    the notebook, or a terminal
pace.py        not more than a server passes on        capture.py    output that is kept, not shown
comms.py       widgets, both ways                      safe/         what a peer's output may be
defaults.py    what `%config Homie` sets
show.py        what Homie itself shows                 trust.py      whose output is not filtered
kernel/        a kernel of its own, for whole notebooks
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load_ipython_extension(shell: "InteractiveShell") -> None:
    """Called by `%load_ext homie_jupyter`."""
    from homie_jupyter.magics import HomieMagics

    magics = HomieMagics(shell)
    shell.register_magics(magics)
    magics.install()


def unload_ipython_extension(shell: "InteractiveShell") -> None:
    """Called by `%unload_ext homie_jupyter`."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("homie", None)
    magics = shell.magics_manager.registry.pop("HomieMagics", None)
    if magics is not None:
        magics.remove()
