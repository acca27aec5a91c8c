"""`%homie` and `%%homie`: parse, delegate, show."""

import difflib
import shlex
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments

from homie_core.client.files import checked_globs
from homie_core.model.errors import HomieError
from homie_core.model.gpu import parse_gpu, parse_vram, with_vram
from homie_core.model.quantity import parse_duration, parse_size
from homie_jupyter import lines
from homie_jupyter.auto import with_symbols
from homie_jupyter.cell import Cell, finish_now
from homie_jupyter.completion import Completion
from homie_jupyter.defaults import Homie
from homie_jupyter.dry_run import dry_run, why
from homie_jupyter.failing import Failed, raise_in_silence
from homie_jupyter.jobs import CellJob, started
from homie_jupyter.notebook import Notebook
from homie_jupyter.options import Options
from homie_jupyter.transform import LOCAL, NAME, Transform
from homie_jupyter.variables import names_in

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def _read(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return what reads a value, and whose ValueError is told as it is."""

    def read(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from None

    return read


@magics_class
class HomieMagics(Magics):
    """The magics of Homie."""

    def __init__(self, shell: "InteractiveShell") -> None:
        super().__init__(shell)
        self._in = shell
        self._transform = Transform(shell)
        self.notebook = Notebook(shell)
        self._defaults = Homie(parent=shell)
        self._configurables: list[Any] = shell.configurables
        self._options = [name for each in self.homie.parser._actions for name in each.option_strings]
        self._completion = Completion(shell, self.notebook, self._options)

    def install(self) -> None:
        """Let cells that begin with `%%homie` come here."""
        setattr(self._in, NAME, self)
        self._transform.install()
        self._completion.install()
        self._configurables.append(self._defaults)

    def remove(self) -> None:
        """Leave nothing behind; sessions go on until nobody has used them for long."""
        self._transform.remove()
        self._completion.remove()
        self._configurables.remove(self._defaults)
        delattr(self._in, NAME)
        self.notebook.close()

    @no_var_expand
    @magic_arguments()
    @argument("what", nargs="*", help="line form: see below")
    @argument("-n", "--node", metavar="NAME", help="run on this machine, not on the best one available")
    @argument("-s", "--session", metavar="NAME", help="run in this session; the first cell that names it opens it")
    @argument("--fresh", action="store_true", help="run in a sandbox of its own, which ends with the cell")
    @argument(
        "--gpu",
        nargs="?",
        type=_read(parse_gpu),
        metavar="=SPEC",
        help="run with a graphics card; =SPEC: how many (2), which (RTX3080), how large (24G), or A100:2,40G",
    )
    @argument(
        "--vram",
        type=_read(parse_vram),
        metavar="SIZE",
        help="run with a graphics card of so much memory, for example 24G",
    )
    @argument(
        "-i",
        dest="inputs",
        action="append",
        default=[],
        metavar="NAMES",
        help="variables that go with the cell: a,b",
    )
    @argument(
        "-o", dest="outputs", action="append", default=[], metavar="NAMES", help="variables that come back: c,d"
    )
    @argument(
        "--auto",
        action="store_true",
        help="variables that it needs go with it, and those that it makes come back, as far as its text tells",
    )
    @argument(
        "--keep",
        action="append",
        default=[],
        metavar="NAMES",
        help="variables that stay there; here they become handles, whose .get() brings them",
    )
    @argument(
        "-f",
        "--file",
        dest="files",
        action="append",
        default=[],
        metavar="GLOB",
        help="send this file, this folder or what matches this pattern too, such as 'data/*.csv', under the same "
        "relative name (again for more)",
    )
    @argument(
        "--get",
        dest="gets",
        action="append",
        default=[],
        metavar="GLOB",
        help="bring back the files in the session's folder that match this pattern, such as 'out/*.png', into a "
        "new folder below homie-results (again for more)",
    )
    @argument("--cpus", type=float, metavar="N", help="cores of a session that is opened, for example 2 or 0.5")
    @argument("--ram", type=_read(parse_size), metavar="SIZE", help="its memory, for example 8G or 512M")
    @argument(
        "--timeout",
        type=_read(parse_duration),
        metavar="TIME",
        help="running time of the cell, for example 90, 10m or 2h",
    )
    @argument(
        "--bg",
        nargs="?",
        const="",
        metavar="NAME",
        help="run it in the background: a job comes back at once, here and as this variable (`%%homie jobs`, "
        "`logs NAME`, `cancel NAME`)",
    )
    @argument("--capture", metavar="NAME", help="keep what it puts out in this variable, as %%%%capture does")
    @argument("--dry-run", action="store_true", help="only say where it would go, why, and what would leave here")
    @argument("-q", "--quiet", action="store_true", help="no footer, no notes; errors are told all the same")
    @argument(LOCAL, action="store_true", help="run it here, in this notebook's own kernel; nothing leaves")
    @line_cell_magic
    def homie(self, line: str, cell: str | None = None) -> Any:
        """Run a cell on a friend's machine: `%%homie` first in the cell, options behind it.

        The first such cell opens a session, a sandbox with a live IPython, on the best machine; later ones run
        in the same session, so variables stay. What the cell prints, shows and asks appears here as if it ran
        here; its error is this cell's error. The stop button interrupts it there. Files that it wrote come back
        into homie-results/ when the session ends.

        `%homie peers`        who is there
        `%homie why [OPTIONS]` where the next cell with these options would go, why, and who could not take it
        `%homie trust NAME`   show its outputs unfiltered (`untrust`: filtered again)
        `%homie sessions`     this notebook's sessions
        `%homie use NAME`     the next cells go to this session
        `%homie restart`      begin anew in it: no variables, files stay
        `%homie end [NAME]`   end it; its files come back
        `%homie attach`       show again what runs in it, also after a restart of this notebook's kernel
        `%homie on [OPTIONS]` run every cell there from now on; `%%local` on top of one runs it here, `off` ends it
        `%config Homie`       lists the defaults of these options; `%config Homie.node = "desk"` sets one
        `%homie jobs`         cells in the background, and what else I have running
        `%homie logs NAME`    what a job has put out so far
        `%homie cancel NAME`  end it
        `%homie push a,b`     send variables to the session
        `%homie pull c,d`     bring variables back from it
        `%homie EXPRESSION`   the value that it has there: `top = %homie frame.head()`

        Values come back as data: numbers, text, dates, lists, dicts, arrays, data frames, tensors, pictures.
        """
        if cell is not None:  # below another magic, such as %%time, which cannot await
            if LOCAL in line.split():
                self.runs_here(line)
                if not self._in.run_cell(cell, store_history=False).success:
                    raise_in_silence()
                return None
            return finish_now(self.run_cell(line, cell, blocking=True))
        verb = line.split()[:1]
        if verb in (["on"], ["off"]):
            self._switch(line)
            return None
        try:
            if verb == ["why"]:
                options = _options_of(self._with_defaults(line.split("why", 1)[1], "%homie why"))
                print(why(options, self.notebook))  # noqa: T201
                return None
            return lines.obey(
                self.notebook, self._in.var_expand(line) if verb and verb[0] in lines.VERBS else line
            )
        except HomieError as error:
            raise UsageError(str(error)) from None

    async def run_cell(self, line: str, cell: str, blocking: bool = False) -> CellJob | None:
        """Run a cell: what `%%homie` becomes. `blocking`: never really wait, but stand still."""
        args = self._with_defaults(line)
        try:
            options = _options_of(args)
            if args.auto:
                options = with_symbols(cell, options, self._in, self.notebook, self._defaults.auto_limit)
            if args.dry_run:
                print(dry_run(cell, options, self.notebook))  # noqa: T201
                return None
            if args.bg is not None:
                return started(self.notebook, args.bg, cell, options)
            await Cell(cell, options, self.notebook, blocking).run()
        except Failed:
            raise_in_silence()
        except HomieError as error:
            raise UsageError(str(error)) from None
        return None

    def _switch(self, line: str) -> None:
        """Let cells run on a peer from now on, with the options behind `on`; or no more."""
        verb, _, options = line.strip().partition(" ")
        if self._parsed(options).what or (verb == "off" and options):
            raise UsageError("`%homie on [OPTIONS OF %%homie]`, or `%homie off`")
        self._transform.always = options.strip() if verb == "on" else None
        here = "cells run here again, but for those with `%%homie`"
        there = "cells run on a peer from now on; `%%local` on top of one runs it here, `%homie off` ends that"
        print(there if verb == "on" else here)  # noqa: T201

    def runs_here(self, line: str) -> None:
        """Say so: what the first line of a cell with `--local` becomes."""
        if not self._parsed(line).quiet:
            print("homie: runs here, as --local says", file=sys.stderr)  # noqa: T201

    def _with_defaults(self, line: str, magic: str = "%%homie") -> Any:
        """Return what the options behind a magic say, or else the defaults. Raises UsageError."""
        args = self._parsed(" ".join([*map(shlex.quote, self._defaults.words()), self._in.var_expand(line)]))
        if args.what:
            words = line.split()
            meant = f"did you mean --bg {args.what[0]}?" if "--bg" in words else "see `%%homie?`"
            meant = f"did you mean --gpu={args.what[0]}?" if "--gpu" in words else meant
            raise UsageError(f"`{magic}` takes options only, not {args.what[0]!r}; {meant}")
        return args

    def _parsed(self, line: str) -> Any:
        """Return what the options say. Raises UsageError, with what was probably meant."""
        try:
            # IPython would keep the quotes, and `--gpu` alone would take the next word.
            words = ["--gpu=1" if word == "--gpu" else word for word in shlex.split(line)]
            return self.homie.parser.parse_args(words)
        except ValueError as error:
            raise UsageError(f"the options cannot be read: {str(error).lower()}") from None
        except UsageError as error:
            names = [word.partition("=")[0] for word in line.split() if word.startswith("-")]
            wrong = next((name for name in names if name not in self._options), "")
            close = difflib.get_close_matches(wrong, self._options, 1)
            meant = f"; did you mean {close[0]}?" if close else "; see `%%homie?`"
            raise UsageError(f"{error}{meant}") from None

    async def attach(self, line: str) -> None:
        """Show again what runs in a session: what `%homie attach` becomes."""
        words = line.split()
        try:
            await Cell("", Options(session=words[0] if words else None), self.notebook).attach()
        except Failed:
            raise_in_silence()
        except HomieError as error:
            raise UsageError(str(error)) from None


def _options_of(args: Any) -> Options:
    """Return the options that were read. Raises HomieError."""
    return Options(
        args.node,
        args.session,
        args.fresh,
        with_vram(args.gpu, args.vram),
        tuple(args.files),
        args.cpus,
        args.ram,
        args.timeout,
        names_in(args.inputs, "-i"),
        names_in(args.outputs, "-o"),
        keeps=names_in(args.keep, "--keep"),
        gets=checked_globs(args.gets),
        capture=args.capture and names_in([args.capture], "--capture")[0],
        quiet=args.quiet,
    )
