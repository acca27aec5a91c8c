"""The group of all commands, and what every one of them shares: lazy loading, errors, exit statuses."""

import difflib
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

import click

from homie_core import __version__
from homie_core.model.errors import HomieError

COMMANDS = {
    "setup": ("homie_core.cli.setup", "Name this machine and make or join a group."),
    "up": ("homie_core.cli.up", "Start Homie on this machine."),
    "down": ("homie_core.cli.up", "End Homie on this machine."),
    "peers": ("homie_core.cli.peers", "List the machines of my group."),
    "run": ("homie_core.cli.run", "Run a Python SCRIPT on a friend's machine."),
    "jobs": ("homie_core.cli.jobs", "List the jobs that I sent or that run here."),
    "logs": ("homie_core.cli.jobs", "Show what a job of mine has put out."),
    "attach": ("homie_core.cli.jobs", "Show a job of mine again from its start, and wait for its end."),
    "get": ("homie_core.cli.jobs", "Bring the files of a job of mine that has ended."),
    "cancel": ("homie_core.cli.jobs", "End jobs of mine, wherever they run."),
    "add": ("homie_core.cli.peers", "Add a machine that is not found by itself."),
    "remove": ("homie_core.cli.peers", "Forget a machine."),
    "trust": ("homie_core.cli.trust", "Show a machine's outputs in my notebooks unfiltered."),
    "untrust": ("homie_core.cli.trust", "Filter a machine's outputs again."),
    "kernel": ("homie_core.cli.kernel", "Put kernels that run on a friend's machine into Jupyter."),
    "config": ("homie_core.cli.config", "Show or change the configuration."),
    "whoami": ("homie_core.cli.config", "Say who this machine is to others."),
    "demo": ("homie_core.cli.demo", "Show on this machine alone how it works."),
    "completion": ("homie_core.cli.completion", "Make the shell complete commands and names."),
}
"""Name: module that holds the command under that name, and its help, so that `homie --help` loads none."""


class _NobodyReads(Exception):
    """The reader of our output has gone (`| head`)."""


class LazyGroup(click.Group):
    """Commands that are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # click would end the process with status 1
            raise _NobodyReads from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, help_) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            ctx.fail(f"No such command '{args[0]}'.{f' Did you mean {near[0]}?' if near else ''}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="homie", message="%(prog)s %(version)s")
def homie() -> None:
    """Run a script or a notebook cell on a friend's idle machine, and lend yours without fear.

    First `homie setup`, then `homie up`; `homie demo` shows it on this machine alone.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status; nothing is raised."""
    try:
        result = homie.main(args=arguments, prog_name="homie", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 130
    except HomieError as error:
        return _complain(str(error), 1)
    except (_NobodyReads, BrokenPipeError):
        # the interpreter flushes stdout once more when it ends; nobody is there to read it
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except OSError as error:
        return _complain(f"{error.filename or 'the system says'}: {error.strerror or error}", 1)
    except Exception as error:
        if os.environ.get("HOMIE_DEBUG"):
            traceback.print_exc()
        more = "HOMIE_DEBUG=1 shows where; please report it"
        return _complain(f"this is a mistake in homie ({type(error).__name__}: {error}); {more}", 1)
    return result if isinstance(result, int) else 0


def _complain(message: str, status: int) -> int:
    shown = "".join(c if c.isprintable() or c == "\n" else "?" for c in message)
    sys.stderr.write(f"homie: {shown}\n")
    return status
