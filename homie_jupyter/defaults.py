"""`%config Homie.node = "desk"`: what holds where the options of a cell say nothing."""

from traitlets import Bool, Unicode, Union
from traitlets.config import Configurable


class Homie(Configurable):
    """Defaults of `%%homie`; `%config Homie` lists them, and a profile's configuration can hold them."""

    node = Unicode("", help="Run on this machine; empty: on the best one available.").tag(config=True)
    gpu = Union(
        [Bool(), Unicode()],
        default_value=False,
        help="Run with a graphics card: True, or which, as in --gpu=SPEC.",
    ).tag(config=True)
    vram = Unicode("", help="Run with a graphics card of so much memory, for example 24G.").tag(config=True)
    cpus = Unicode("", help="Cores of a session that is opened, for example 2 or 0.5.").tag(config=True)
    ram = Unicode("", help="Its memory, for example 8G or 512M.").tag(config=True)
    timeout = Unicode("", help="Running time of a cell, for example 90, 10m or 2h.").tag(config=True)
    auto_limit = Unicode("100m", help="What --auto sends, and brings back, without asking.").tag(config=True)
    quiet = Bool(False, help="No footer, no notes; errors are told all the same.").tag(config=True)

    def words(self) -> list[str]:
        """Return them as options; what stands behind them in a line counts more."""
        words = ["--quiet"] if self.quiet else []
        if self.gpu:
            words.append("--gpu" if self.gpu is True else f"--gpu={self.gpu}")
        for name in ("node", "vram", "cpus", "ram", "timeout"):
            if value := getattr(self, name):
                words += [f"--{name}", value]
        return words
