"""`homie kernel install`, `list` and `remove`: kernels in Jupyter whose code runs on a friend's machine."""

import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homie_core.cli.parameters import CORES, DURATION, GPU, NODE, SIZE, VRAM, TakesGpu
from homie_core.cli.render import hint, say, table
from homie_core.client import ensure_daemon, wait_for_peers
from homie_core.home import home
from homie_core.model.errors import HomieError
from homie_core.model.gpu import GpuAsk, short_name, with_vram
from homie_core.model.names import NODE_NAME_PATTERN
from homie_core.model.peer import Peer, Standing

if TYPE_CHECKING:
    from jupyter_client.kernelspec import KernelSpecManager

MARK = "homie"
"""Key of the metadata by which Homie's own kernels are known, and prefix of their names."""
BEST = "best homie"
PROGRAM = (sys.executable, "-P", "-m", "homie_jupyter.kernel", "-f", "{connection_file}")
"""-P: else a `queue.py` beside a notebook would become the kernel's."""
LOGO = Path(__file__).with_name("logo")


@click.group()
def kernel() -> None:
    """Put kernels that run on a friend's machine into Jupyter.

    With such a kernel a whole notebook runs over there, without a magic in any cell. Jupyter, VS Code, papermill
    and nbclient find it by its name.
    """


@kernel.command(cls=TakesGpu)
@click.option("--name", "node", type=NODE, help="Run on this machine, not on the best one available.")
@click.option(
    "--gpu",
    type=GPU,
    metavar="[=SPEC]",
    help="Ask for a graphics card, or =SPEC: 2, RTX3080, 24G, A100:2,40G; default: one where there is any.",
)
@click.option("--vram", type=VRAM, help="Ask for a graphics card of so much memory, for example 24G.")
@click.option("--no-gpu", is_flag=True, help="Ask for none.")
@click.option("--cpus", type=CORES, help="Cores of its session, for example 2 or 0.5.")
@click.option("--ram", type=SIZE, help="Its memory, for example 8G or 512M.")
@click.option("--timeout", type=DURATION, help="Running time of a cell, for example 90, 10m or 2h.")
@click.option("--sys-prefix", is_flag=True, help="For this environment (virtualenv, conda) only, not for my user.")
def install(
    node: str | None,
    gpu: GpuAsk | None,
    vram: int | None,
    no_gpu: bool,
    cpus: float | None,
    ram: int | None,
    timeout: float | None,
    sys_prefix: bool,
) -> None:
    """Put a kernel into Jupyter's launcher: `Python on desk`.

    Where there is one of that name, it is replaced.
    """
    if node is not None and not re.match(NODE_NAME_PATTERN, node):
        raise click.BadParameter(f"{node[:60]!r} is no name of a machine; `homie peers` lists them")
    name = _kernel_name(node)
    if name in _manager().find_kernel_specs() and name not in _installed():
        raise HomieError(
            f"there is a kernel {name} that is not Homie's; `jupyter kernelspec remove {name}` removes it"
        )
    peer = _seen(node) if node else None
    cards = peer.capacity.gpus if peer else ()
    ask = None if no_gpu else with_vram(gpu, vram) or (GpuAsk() if cards else None)
    card = next((short_name(each.name) for each in cards if ask and ask.fits(each)), "")
    shown = f"Python on {node or BEST}{f' · {card}' if card else ''}"
    argv = [*PROGRAM]
    for option, value in (("--node", node), ("--cpus", cpus), ("--ram", ram), ("--timeout", timeout)):
        argv += [option, str(value)] if value is not None else []
    argv += [f"--gpu={ask}"] if ask else []
    where = _install(name, _spec(shown, argv, node), sys_prefix)
    say(f"{shown} is in Jupyter's launcher; for programs it is {name} ({where}).")
    if node and peer is None:
        hint(f"homie: nobody called {node} is here now; the kernel can be used when {node} is. See `homie peers`.")
    elif peer and ask and not card:
        hint(f"homie: {node} has no {ask.kind} now; the kernel can be used when it has. See `homie peers`.")


@kernel.command("list")
def list_() -> None:
    """List the kernels that Homie has put into Jupyter."""
    found = _installed()
    if found:
        say(
            table(
                ("KERNEL", "SHOWN AS", "WHERE"), [(name, shown, where) for name, (shown, where) in found.items()]
            )
        )
    else:
        hint("No kernels. `homie kernel install` makes one.")


@kernel.command()
@click.option("--name", "node", type=NODE, help="The one for this machine; without: the one for the best.")
def remove(node: str | None) -> None:
    """Take a kernel out of Jupyter's launcher."""
    name = _kernel_name(node)
    if name not in _installed():
        raise HomieError(f"there is no kernel {name} of Homie's; `homie kernel list` lists them")
    _manager().remove_kernel_spec(name)
    say(f"{name} is gone.")


def _seen(node: str) -> Peer | None:
    client, started = ensure_daemon(home())
    if started:
        wait_for_peers(client)
    return next((p for p in client.peers() if p.name == node and p.standing is Standing.ONLINE), None)


def _kernel_name(node: str | None) -> str:
    return f"{MARK}-{node.lower()}" if node else MARK


def _spec(shown: str, argv: list[str], node: str | None) -> dict[str, Any]:
    return {
        "argv": argv,
        "display_name": shown,
        "language": "python",
        "interrupt_mode": "message",
        "env": {"HOMIE_HOME": str(home())} if os.environ.get("HOMIE_HOME") else {},
        "metadata": {MARK: {"node": node}, "debugger": False},
    }


def _install(name: str, spec: dict[str, Any], sys_prefix: bool) -> str:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / name
        shutil.copytree(LOGO, source)
        (source / "kernel.json").write_text(json.dumps(spec, indent=1, ensure_ascii=False))
        user, prefix = not sys_prefix, sys.prefix if sys_prefix else None
        where: str = _manager().install_kernel_spec(str(source), name, user=user, prefix=prefix)
    return where


def _installed() -> dict[str, tuple[str, str]]:
    """Return Homie's own kernels: what each is shown as, and its folder."""
    found = {}
    for name, one in sorted(_manager().get_all_specs().items()):
        spec = one["spec"]
        if MARK in (spec.get("metadata") or {}):
            found[name] = spec["display_name"], one["resource_dir"]
    return found


def _manager() -> "KernelSpecManager":
    from jupyter_client.kernelspec import KernelSpecManager  # 100 ms, which no other command shall cost

    return KernelSpecManager()
