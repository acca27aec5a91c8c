"""The process that a kernelspec starts."""

import argparse
import os
import signal
from pathlib import Path

from homie_core.model.gpu import parse_gpu
from homie_core.model.job import Ask
from homie_jupyter.kernel.front import Front
from homie_jupyter.kernel.inbox import Inbox, Signal
from homie_jupyter.kernel.opening import Opener, Wish
from homie_jupyter.kernel.publisher import KernelPublisher
from homie_jupyter.kernel.relay import Relay


def main() -> None:
    """Be a kernel until a front end has had enough of it, or who started it is gone."""
    parser = argparse.ArgumentParser(prog="python -m homie_jupyter.kernel", description="A kernel on a peer.")
    parser.add_argument("-f", "--connection-file", type=Path, required=True)
    parser.add_argument("--node", help="the peer to run on; without, the best that is free")
    parser.add_argument("--gpu", nargs="?", const="1", help="its graphics cards, as in `homie run --gpu=SPEC`")
    parser.add_argument("--cpus", type=float, help="cores of its session")
    parser.add_argument("--ram", type=int, help="its memory in bytes")
    parser.add_argument("--timeout", type=float, help="seconds that a cell may run")
    arguments = parser.parse_args()

    parent = os.getppid()
    front = Front(arguments.connection_file)
    inbox = Inbox(front.wake)
    signal.signal(signal.SIGINT, lambda *_: inbox.put(Signal(end=False)))
    signal.signal(signal.SIGTERM, lambda *_: inbox.put(Signal(end=True)))
    publisher = KernelPublisher(front, inbox, paced="JPY_SESSION_NAME" in os.environ)
    ask = Ask(cpus=arguments.cpus, memory=arguments.ram, gpu=parse_gpu(arguments.gpu) if arguments.gpu else None)
    opener = Opener(Wish(arguments.node, ask, arguments.timeout), publisher, inbox)
    relay = Relay(front, publisher, inbox, opener, arguments.node)
    front.status("starting", None)
    while not relay.ended:
        for asked in front.receive(relay.patience()):
            relay.hear(asked)
        if os.getppid() != parent:
            inbox.put(Signal(end=True))
        relay.work()
    front.close()


if __name__ == "__main__":
    main()
