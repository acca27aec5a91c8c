"""The runner without a sandbox around it: `python -m homie_core.sandbox.bare_runner SPOOL WORK ENVIRONMENT...`."""

import sys

from homie_core.runner.__main__ import Runner
from homie_core.runner.child import kill_everything
from homie_core.sandbox.base import ENVIRONMENTS, RUNNER, WORK


class BareRunner(Runner):
    """Starts the program where things really lie."""

    def __init__(self, spool: str, work: str, environments: list[str]) -> None:
        super().__init__(spool)
        self.places = {WORK: work, RUNNER: __file__.removesuffix("/homie_core/sandbox/bare_runner.py")}
        self.places |= {f"{ENVIRONMENTS}/{number}": path for number, path in enumerate(environments)}

    def placed(self, argv: list[str], env: dict[str, str], cwd: str) -> tuple[list[str], dict[str, str], str]:
        """Return the program with the places that it has without a sandbox."""
        env = {**env, "PYTHONPATH": ":".join(map(self.outside, env["PYTHONPATH"].split(":")))}
        return [sys.executable, *map(self.outside, argv[1:])], env, self.outside(cwd)

    def outside(self, path: str) -> str:
        """Return where this path of a sandbox lies on the host; any other text as it is."""
        for inside, outside in self.places.items():
            if path == inside or path.startswith(f"{inside}/"):
                return outside + path.removeprefix(inside)
        return path


def main() -> int:
    """Run, as the runner does in a sandbox."""
    runner = BareRunner(sys.argv[1], sys.argv[2], sys.argv[3:])
    try:
        runner.run()
    except (OSError, ValueError, LookupError, TypeError) as error:
        sys.stderr.write(f"runner: {type(error).__name__}: {error}\n")
        if runner.child:
            kill_everything(runner.child)
        return 70
    return 0


if __name__ == "__main__":
    sys.exit(main())
