"""`setup`, `config`, `whoami`: on real files in a home of their own."""

import io
import json
from pathlib import Path

import pytest
from fake_daemon import FakeDaemon

from homie_core.cli import main
from homie_core.config import config_file, get_value, load
from homie_core.store.identity import group_id, new_secret, read_peer_id


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the person types."""
    given: list[str] = []
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: given.pop(0))
    return given


def secret_of(home: Path) -> str:
    return get_value(config_file(home), "group_secret")


def test_a_new_group_is_made_and_its_secret_shown_once(
    homie_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["setup", "--name", "desk", "--yes"]) == 0
    out = capsys.readouterr().out
    secret = secret_of(homie_home)
    assert load(config_file(homie_home)).name == "desk"
    assert len(read_peer_id(homie_home)) == 64
    assert f"\n    {secret}\n" in out
    assert "homie setup --secret -" in out
    assert config_file(homie_home).stat().st_mode & 0o777 == 0o600
    assert main(["setup"]) == 0
    assert secret not in capsys.readouterr().out


def test_a_group_is_joined_by_its_secret(homie_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = new_secret()
    assert main(["setup", "--name", "desk", "--secret", secret]) == 0
    assert secret_of(homie_home) == secret
    assert f"in group {group_id(secret)}" in capsys.readouterr().out


def test_a_secret_can_be_piped_in(homie_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = new_secret()
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{secret}\n"))
    assert main(["setup", "--name", "desk", "--secret", "-"]) == 0
    assert secret_of(homie_home) == secret


def test_a_secret_can_be_typed_for_another_group(
    homie_home: Path, answers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["setup", "--name", "desk", "--yes"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    secret = new_secret()
    answers += [secret, "y"]
    assert main(["setup", "--secret", "-"]) == 0
    assert (answers, secret_of(homie_home)) == ([], secret)


def test_no_secret_piped_in_changes_nothing(
    homie_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["setup", "--secret", "-", "--yes"]) == 1
    assert "0 letters and digits instead of 32" in capsys.readouterr().err
    assert not homie_home.exists()


def test_name_and_secret_are_asked_for(
    homie_home: Path, answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    secret = new_secret()
    answers += ["my desk!", "my-desk", secret]
    assert main(["setup"]) == 0
    assert answers == []
    assert load(config_file(homie_home)).name == "my-desk"
    assert secret_of(homie_home) == secret
    assert "Up to 40 letters" in capsys.readouterr().err


def test_an_empty_answer_makes_a_new_group(homie_home: Path, answers: list[str]) -> None:
    answers += ["desk", ""]
    assert main(["setup"]) == 0
    assert len(secret_of(homie_home)) == 39


@pytest.mark.parametrize(
    ("host", "name"), [("Anna's MacBook.local", "Anna-s-MacBook"), ("--", "homie"), ("x" * 60, "x" * 40)]
)
def test_the_host_name_becomes_a_node_name(
    homie_home: Path, monkeypatch: pytest.MonkeyPatch, host: str, name: str
) -> None:
    monkeypatch.setattr("platform.node", lambda: host)
    assert main(["setup", "--yes"]) == 0
    assert load(config_file(homie_home)).name == name


def test_a_wrong_secret_changes_nothing(homie_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = new_secret()
    wrong = secret[:-1] + ("A" if secret[-1] != "A" else "C")
    assert main(["setup", "--yes", "--secret", wrong]) == 1
    assert "typing error" in capsys.readouterr().err
    assert not homie_home.exists()


def test_a_group_is_left_only_after_a_yes(
    homie_home: Path, answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["setup", "--name", "desk", "--yes"])
    before, me = secret_of(homie_home), read_peer_id(homie_home)
    answers += ["n"]
    assert main(["setup", "--new-group"]) == 1
    assert secret_of(homie_home) == before
    answers += ["y"]
    assert main(["setup", "--new-group"]) == 0
    assert secret_of(homie_home) != before
    assert main(["setup", "--secret", before, "--yes"]) == 0
    assert secret_of(homie_home) == before
    assert read_peer_id(homie_home) == me
    assert capsys.readouterr().err.startswith("homie: nothing was changed\n")


def test_another_name_is_taken_after_a_yes(homie_home: Path, answers: list[str]) -> None:
    main(["setup", "--name", "desk", "--yes"])
    answers += ["y"]
    assert main(["setup", "--name", "tower"]) == 0
    assert load(config_file(homie_home)).name == "tower"
    assert main(["setup", "--name", "bad name", "--yes"]) == 1
    assert load(config_file(homie_home)).name == "tower"


def test_config_is_shown_without_its_secret(homie_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["setup", "--name", "desk", "--yes"])
    capsys.readouterr()
    assert main(["config"]) == 0
    out = capsys.readouterr().out
    assert secret_of(homie_home) not in out
    assert "container_memory_limit  4g\n" in out


def test_one_value_is_read_and_changed(homie_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["setup", "--name", "desk", "--yes"])
    capsys.readouterr()
    assert main(["config", "set", "container_memory_limit", "8G"]) == 0
    assert main(["config", "get", "container_memory_limit"]) == 0
    assert main(["config", "path"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"8g\n{homie_home / 'config.yaml'}\n"
    assert captured.err == ""


def test_a_wrong_value_changes_nothing(homie_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["setup", "--name", "desk", "--yes"])
    before = config_file(homie_home).read_text()
    for key, value in (("worker_port", "http"), ("worker_prot", "5"), ("group_secret", "friends")):
        assert main(["config", "set", key, value]) == 1
    assert config_file(homie_home).read_text() == before
    assert "did you mean worker_port?" in capsys.readouterr().err


def test_a_running_homie_is_said_to_keep_the_old_value(
    homie_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["setup", "--name", "desk", "--yes"])
    with FakeDaemon(homie_home):
        assert main(["config", "set", "worker_port", "7000"]) == 0
    assert "homie down, homie up" in capsys.readouterr().err


def test_whoami_needs_no_daemon(homie_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["setup", "--name", "desk", "--yes"])
    main(["config", "set", "listen", "127.0.0.1"])
    capsys.readouterr()
    assert main(["whoami", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["name"] == "desk"
    assert facts["id"] == read_peer_id(homie_home)
    assert facts["group"] == group_id(secret_of(homie_home))
    assert facts["addresses"] == ["127.0.0.1:5556"]
    assert main(["whoami"]) == 0
    assert f"id         {facts['id']}\n" in capsys.readouterr().out


def test_commands_before_setup_say_so(homie_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["whoami"], ["config"], ["up"], ["peers"]):
        assert main(command) == 1
        assert "homie setup" in capsys.readouterr().err
