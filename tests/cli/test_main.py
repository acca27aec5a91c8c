"""What every command shares: quick start, help, mistakes in the command line, errors as one message."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from homie_core import __version__
from homie_core.cli import main
from homie_core.cli.main import COMMANDS
from homie_core.model.errors import ConfigError

HEAVY = {
    "aiohttp",
    "asyncio",
    "cryptography",
    "docker",
    "rich",
    "psutil",
    "yaml",
    "msgspec",
    "http.client",
    "IPython",
}


def loaded_by(*arguments: str) -> set[str]:
    code = (
        "import os, sys; from homie_core.cli import main; status = main(sys.argv[1:]);"
        "os.write(3, ' '.join(sys.modules).encode()); sys.exit(status)"
    )
    script = f'exec "{sys.executable}" -c "$0" "$@" 3>&1 >/dev/null'
    done = subprocess.run(["/bin/sh", "-c", script, code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_help_loads_nothing_but_click() -> None:
    assert loaded_by("--help") & HEAVY == set()


def test_version_loads_nothing_but_click() -> None:
    assert loaded_by("--version") & HEAVY == set()


def test_the_help_of_run_loads_only_what_run_needs() -> None:
    assert loaded_by("run", "--help") & HEAVY == {"msgspec", "http.client"}


def test_whoami_loads_neither_the_client_nor_cryptography(homie_home: Path) -> None:
    assert main(["setup", "--yes"]) == 0
    assert loaded_by("whoami") & HEAVY == {"msgspec", "psutil", "yaml"}


def test_every_command_exists_and_its_help_is_the_one_in_the_list() -> None:
    for name, (module, help_) in COMMANDS.items():
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        assert command.name == name
        assert command.get_short_help_str(200) == help_


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: homie {name}")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"homie {__version__}\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["peer"], "No such command 'peer'. Did you mean peers?"),
        (["run", "--tmeout", "3", "x.py"], "'--timeout'"),
        (["run", "--timeout", "3x", "x.py"], "'3x' is no duration"),
        (["run", "--timeout", "0", "x.py"], "not between 1 second and 30 days"),
        (["run", "--ram", "lots", "x.py"], "'lots' is no size"),
        (["run", "--ram", "1k", "x.py"], "not between 16M"),
        (["run", "--cpus", "nan", "x.py"], "'nan' is no number of cores"),
        (["run"], "Missing argument 'SCRIPT'"),
        (["attach", "xyz"], "'xyz' is no job id"),
        (["setup", "--secret", "x", "--new-group"], "choose one"),
    ],
)
def test_mistakes_in_the_command_line(line: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line) == 2
    assert words in capsys.readouterr().err


def raising(error: BaseException) -> click.Command:
    def fail() -> None:
        raise error

    return click.Command("peers", callback=fail)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (ConfigError("no\nway\x1b[2J"), 1, "homie: no\nway?[2J\n"),
        (KeyboardInterrupt(), 130, "\n"),
        (OSError(28, "No space left on device", "/x"), 1, "homie: /x: No space left on device\n"),
        (
            ZeroDivisionError("oops"),
            1,
            "homie: this is a mistake in homie (ZeroDivisionError: oops); HOMIE_DEBUG=1",
        ),
    ],
)
def test_no_error_is_a_traceback(
    error: BaseException, status: int, words: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("homie_core.cli.peers.peers", raising(error))
    assert main(["peers"]) == status
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err


def test_a_reader_that_leaves_is_no_error() -> None:
    code = "import sys; from homie_core.cli import main; sys.exit(main(['completion', 'fish']))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
