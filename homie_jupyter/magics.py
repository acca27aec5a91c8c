"""`%homie` and `%%homie`: parse, delegate, show."""

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from homie_core.model.errors import HomieError
from homie_core.model.quantity import parse_duration, parse_size
from homie_jupyter.cell import Options, run_cell
from homie_jupyter.show import show_peers
from homie_jupyter.trust import did_trust


def _size(text: str) -> int:
    return parse_size(text)


def _seconds(text: str) -> float:
    return parse_duration(text)


@magics_class
class HomieMagics(Magics):
    """The magics of Homie."""

    @magic_arguments()
    @argument("what", nargs="?", choices=("peers",), help="line form: `%%homie peers` lists who is there")
    @argument("-n", "--node", metavar="NAME", help="run on this machine, not on the best one available")
    @argument("--gpu", action="store_true", help="run where a graphics card is free")
    @argument(
        "-f",
        "--file",
        dest="files",
        action="append",
        default=[],
        metavar="FILE",
        help="send this file or folder too, under the same relative name (again for more)",
    )
    @argument("--cpus", type=float, metavar="N", help="cores, for example 2 or 0.5")
    @argument("--ram", type=_size, metavar="SIZE", help="memory, for example 8G or 512M")
    @argument("--timeout", type=_seconds, metavar="TIME", help="running time at most, for example 90, 10m or 2h")
    @line_cell_magic
    def homie(self, line: str, cell: str | None = None) -> None:
        """Run a cell on a friend's machine: `%%homie` first in the cell, options behind it.

        What the cell prints appears as it comes, its error is this cell's error, and the files it writes
        come back into homie-results/. The stop button stops it there; a second time leaves it to itself.
        Each cell runs in a fresh sandbox: nothing stays from one to the next.

        `%homie peers` lists who is there. `%homie trust NAME` shows the outputs of a machine unfiltered, `%homie
        untrust NAME` filters them again.
        """
        try:
            if cell is None and did_trust(line):
                return
            args = parse_argstring(self.homie, line)
            if cell is None:
                if args.what != "peers":
                    raise UsageError("`%homie peers` lists who is there; `%%homie` on top of a cell runs it there")
                show_peers()
                return
            if args.what:
                raise UsageError(f"`%%homie` takes options only, not {args.what!r}; see `%%homie?`")
            run_cell(cell, Options(args.node, args.gpu, tuple(args.files), args.cpus, args.ram, args.timeout))
        except HomieError as error:
            raise UsageError(str(error)) from None
