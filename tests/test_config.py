"""The configuration file: every mistake in one line with its place; changes that keep the rest as it was."""

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from homie_core import config
from homie_core.config import Config, source
from homie_core.model.errors import ConfigError

SECRET = "ABX2-GXWH-TFXE-JBXX-BVSQ-33EP-6DZ5-FZV6"
BASE = f"name: desk\ngroup_secret: {SECRET}\n"

WRITTEN_BY_HAND = f"""\
# my machine
group_secret: "{SECRET}"   # do not post this
worker_port:   6000   # the router forwards it
name: 'desk'
peers:          # friends elsewhere
- anna.example.org   # Anna
- 10.0.0.7:6000

  # Ben comes later
container_timeout: 10m
# the end"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def put(file: Path, text: str | bytes) -> Path:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    file.chmod(0o600)
    return file


def complaint(file: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    text = str(caught.value)
    assert "\n" not in text
    assert text.isprintable()
    return text.replace(str(file), "FILE")


# Reading


def test_two_lines_are_enough(file: Path) -> None:
    assert config.load(put(file, BASE)) == Config(name="desk", group_secret=SECRET)


def test_all_keys_in_the_forms_people_write(file: Path) -> None:
    text = BASE + (
        "discovery_port: 6001\nworker_port: '6002'\ncontainer_cpu_limit: 1.5\n"
        "container_memory_limit: 512MiB\n"
        "container_timeout: 1h30m\ncontainer_base_image: localhost:5000/py:3\n"
        "sharing: No\nlisten: 127.0.0.1\n"
        "peers: [desk, '10.0.0.7:6000']\n"
    )
    assert config.load(put(file, text)) == Config(
        name="desk",
        group_secret=SECRET,
        discovery_port=6001,
        worker_port=6002,
        container_cpu_limit=1.5,
        container_memory_limit=512 << 20,
        container_timeout=5400.0,
        container_base_image="localhost:5000/py:3",
        sharing=False,
        listen="127.0.0.1",
        peers=("desk", "10.0.0.7:6000"),
    )


@pytest.mark.parametrize("name", ["no", "on", "123", "1e3", "0x10", "1.5"])
def test_a_name_is_what_is_written_not_what_yaml_makes_of_it(file: Path, name: str) -> None:
    assert config.load(put(file, f"name: {name}\ngroup_secret: {SECRET}\n")).name == name


def test_an_empty_list_of_peers_may_be_left_blank(file: Path) -> None:
    assert config.load(put(file, BASE + "peers:\n")).peers == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "FILE:1: name: is missing"),
        ("name: desk\n", "FILE:1: group_secret: is missing"),
        (BASE + "worker_prot: 1\n", "FILE:3: 'worker_prot' is no key; did you mean worker_port?"),
        (BASE + "qqqq: 1\n", "FILE:3: 'qqqq' is no key; allowed: name, group_secret,"),
        (BASE + '"a\\e[31m": 1\n', "FILE:3: 'a\\x1b[31m' is no key"),
        (BASE + "\nname: lap\n", "FILE:4: name: is in line 1 already"),
        (
            BASE + "worker_port: 0\n",
            "FILE:3: worker_port: '0' is out of range; allowed: a port from 1 to 65535",
        ),
        (BASE + "worker_port: 65536\n", "FILE:3: worker_port: '65536' is out of range"),
        (BASE + "worker_port: many\n", "FILE:3: worker_port: 'many' is no port number"),
        (BASE + "worker_port: 5_5\n", "FILE:3: worker_port: '5_5' is no port number"),
        (BASE + "worker_port: [1, 2]\n", "FILE:3: worker_port: is a list or a group"),
        (BASE + "worker_port:\n", "FILE:3: worker_port: has no value; allowed: a port"),
        (BASE + "container_cpu_limit: -1\n", "FILE:3: container_cpu_limit: '-1' is no number of cores"),
        (BASE + "container_cpu_limit: 0\n", "FILE:3: container_cpu_limit: '0' is out of range"),
        (BASE + "container_cpu_limit: .inf\n", "FILE:3: container_cpu_limit: '.inf' is no number"),
        (BASE + "container_memory_limit: 4x\n", "FILE:3: container_memory_limit: '4x' is no size"),
        (BASE + "container_memory_limit: 0\n", "FILE:3: container_memory_limit: '0' is out of range"),
        (BASE + f"container_memory_limit: {'9' * 400}t\n", "FILE:3: container_memory_limit: '999"),
        (BASE + "container_timeout: 0\n", "FILE:3: container_timeout: '0' is out of range"),
        (BASE + f"container_timeout: '90{' ' * 40}x'\n", "FILE:3: container_timeout: '90"),
        (BASE + "container_base_image: --privileged\n", "FILE:3: container_base_image: '--privileged' is no"),
        (
            BASE + "sharing: maybe\n",
            "FILE:3: sharing: 'maybe' is neither true nor false; allowed: true or false",
        ),
        (BASE + "listen: ::1\n", "FILE:3: listen: '::1' is no IPv4 address"),
        (
            BASE + "peers: [a, 'b c']\n",
            "FILE:3: peers: 'b c' is no address of a peer; allowed: a list of HOST",
        ),
        (BASE + "peers: ['b:70000']\n", "FILE:3: peers: 'b:70000' is out of range"),
        (BASE + "peers: [[a]]\n", "FILE:3: peers: is a list or a group"),
        (BASE + "peers: [" + "a, " * 300 + "]\n", "FILE:3: peers: are 300; allowed: at most 256"),
        ("name: a/b\n", "FILE:1: name: 'a/b' is no node name"),
        ("[name, desk]\n", "FILE:1: is no list of settings"),
        ("[name]: desk\n", "FILE:1: a key must be one word"),
        ("name: desk\n  worker: [\n", "FILE:2: not valid YAML"),
        ("name: desk\n---\nname: lap\n", "FILE:2: not valid YAML: but found another document"),
        ("name: desk\nx: a\x07b\n", "FILE:2: not valid YAML: a character"),
        ('name: "\\UFFFFFFFF"\n', "FILE:1: not valid YAML"),
        ("name: " + "[" * 5000, "FILE:1: not valid YAML: it is nested too deeply"),
        (BASE + "<<: {sharing: no}\n", "FILE:3: '<<' is no key"),
        (b"name: desk\nx: \xff\n", "FILE:2: is not UTF-8 text"),
        ("#" * (65 << 10), "FILE: is larger than 65536 bytes"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_its_place(file: Path, text: str | bytes, expected: str) -> None:
    assert complaint(put(file, text)).startswith(expected)


def test_a_wrong_secret_is_not_repeated(file: Path) -> None:
    text = complaint(put(file, "name: desk\ngroup_secret: my-dog's-name!\n"))
    assert text.startswith("FILE:2: group_secret: this text is no group secret")
    assert "dog" not in text


def test_an_alias_is_refused_before_it_can_grow(file: Path) -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}]\n" for i in range(20))
    assert complaint(put(file, bomb)) == "FILE:2: not valid YAML: aliases (*name) cannot be used here"


def test_tags_construct_nothing(file: Path, tmp_path: Path) -> None:
    text = BASE + f"peers: !!python/object/apply:os.mkdir [{tmp_path}/made]\n"
    assert "is no address of a peer" in complaint(put(file, text))
    assert not (tmp_path / "made").exists()


@example('"\\N')
@example("&a *a")
@example("%YAML 9")
@given(st.text(st.sampled_from("name:desk \n-[]{}&*!|>'\"%@`#?,\\xU0\ufeff\x85\t~<"), max_size=60))
def test_whatever_the_text_the_answer_is_a_configuration_or_one_line(text: str) -> None:
    said = ""
    try:
        source.parse(Path("FILE"), text)
    except ConfigError as error:
        said = str(error)
    assert "\n" not in said


def test_without_a_file_setup_is_named(file: Path) -> None:
    assert "run `homie setup`" in complaint(file)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_file_that_others_can_reach_is_refused(file: Path, mode: int) -> None:
    put(file, BASE).chmod(mode)
    assert f"run: chmod 600 {file}" in complaint(file).replace("FILE", str(file))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(file: Path) -> None:
    os.chown(put(file, BASE), 12345, 12345)
    assert "belongs to another user (uid 12345)" in complaint(file)


def test_a_fifo_is_refused_without_waiting(file: Path) -> None:
    os.mkfifo(file, 0o600)
    assert "is not a regular file" in complaint(file)


# Making


def test_a_new_file_is_private_commented_and_says_what_was_asked(tmp_path: Path) -> None:
    file = tmp_path / "a" / "home" / "config.yaml"
    old = os.umask(0)
    try:
        made = config.create(file, "desk", SECRET, container_memory_limit="1536m", peers=["anna", "ben:6000"])
    finally:
        os.umask(old)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    expected = Config(
        name="desk", group_secret=SECRET, container_memory_limit=1536 << 20, peers=("anna", "ben:6000")
    )
    assert made == expected
    assert config.load(file) == expected
    assert set(yaml.safe_load(file.read_text())) == set(Config.__struct_fields__)
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("name", ["null", "true", "no", "1e5", "123"])
def test_names_that_mean_something_in_yaml_survive(file: Path, name: str) -> None:
    assert config.create(file, name, SECRET) == config.load(file)
    assert config.load(file).name == name


def test_an_existing_file_is_never_replaced(file: Path) -> None:
    config.create(file, "desk", SECRET)
    before = file.read_bytes()
    with pytest.raises(ConfigError, match="is there already"):
        config.create(file, "other", SECRET)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("settings", [{"worker_port": 0}, {"worker_prot": 1}, {"listen": "x\nname: evil"}])
def test_nothing_is_made_of_wrong_values(file: Path, settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        config.create(file, "desk", SECRET, **settings)
    assert not file.exists()


# Changing


def test_a_change_replaces_the_characters_of_the_value_and_no_others(file: Path) -> None:
    put(file, WRITTEN_BY_HAND)
    config.set_value(file, "worker_port", "7000")
    config.set_value(file, "name", "laptop")
    config.set_value(file, "container_timeout", "90")
    expected = WRITTEN_BY_HAND.replace("6000   #", "7000   #").replace("'desk'", "laptop").replace("10m", "90")
    assert file.read_text() == expected
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_key_that_is_not_there_is_added_at_the_end(file: Path) -> None:
    config.set_value(put(file, WRITTEN_BY_HAND), "sharing", "false")
    assert file.read_text() == WRITTEN_BY_HAND + "\nsharing: false\n"


def test_line_ends_and_byte_order_mark_of_windows_stay(file: Path) -> None:
    put(file, "\ufeff" + BASE.replace("\n", "\r\n"))
    config.set_value(file, "sharing", "no")
    assert config.set_value(file, "name", "lap").sharing is False
    assert (
        file.read_bytes()
        == ("\ufeff" + BASE.replace("desk", "lap") + "sharing: no\n").replace("\n", "\r\n").encode()
    )


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("name", "a\nworker_port: 1"),
        ("name", "a # b"),
        ("worker_port", "0"),
        ("worker_prot", "1"),
        ("container_base_image", "x'\"y"),
        ("peers", "a, b:0"),
    ],
)
def test_a_wrong_value_changes_nothing(file: Path, key: str, text: str) -> None:
    put(file, WRITTEN_BY_HAND)
    with pytest.raises(ConfigError):
        config.set_value(file, key, text)
    assert file.read_text() == WRITTEN_BY_HAND


@pytest.mark.parametrize(
    "text",
    [
        f"{{name: desk, group_secret: {SECRET}}}\n",  # a key cannot be added at the end of this
        f"  name: desk\n  group_secret: {SECRET}\n",
        BASE + "...\n",
    ],
)
def test_an_unusual_layout_is_left_alone(file: Path, text: str) -> None:
    put(file, text)
    with pytest.raises(ConfigError, match="edit the file by hand"):
        config.set_value(file, "sharing", "false")
    assert file.read_text() == text


def test_a_change_that_would_change_more_is_not_saved(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(file, BASE)
    monkeypatch.setattr(source, "splice", lambda text, node, new: text.replace("desk", new) + "sharing: no\n")
    with pytest.raises(ConfigError, match="edit the file by hand"):
        config.set_value(file, "name", "lap")
    assert file.read_text() == BASE


def test_a_value_in_a_folded_block_can_be_replaced(file: Path) -> None:
    put(file, f"name: >-\n  desk\ngroup_secret: {SECRET}\n")
    assert config.set_value(file, "name", "lap").group_secret == SECRET
    assert file.read_text() == f"name: lap\ngroup_secret: {SECRET}\n"


def test_a_failed_write_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(file, BASE)

    def full_disk(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(ConfigError, match="cannot be written: No space left"):
        config.set_value(file, "name", "lap")
    assert file.read_text() == BASE
    assert list(file.parent.iterdir()) == [file]


def test_a_link_to_the_file_stays_a_link(file: Path, tmp_path: Path) -> None:
    real = put(tmp_path / "dotfiles.yaml", BASE)
    file.symlink_to(real)
    config.set_value(file, "name", "lap")
    assert file.is_symlink()
    assert config.load(real).name == "lap"


def test_every_value_reads_back_as_it_is_shown(file: Path) -> None:
    made = config.create(
        file, "desk", SECRET, container_cpu_limit=1.5, container_timeout="1h30m", peers=["a", "b:1"]
    )
    for key, text in config.show(made):
        if key != "group_secret":
            assert config.get_value(file, key) == text
            assert config.set_value(file, key, text) == made


def test_the_secret_shows_only_when_it_is_asked_for(file: Path) -> None:
    made = config.create(file, "desk", SECRET)
    assert dict(config.show(made))["group_secret"] == "(hidden)"
    assert SECRET not in repr(made)
    assert config.get_value(file, "group_secret") == SECRET


def test_asking_for_an_unknown_key_names_the_known_one(file: Path) -> None:
    config.create(file, "desk", SECRET)
    with pytest.raises(ConfigError, match="did you mean container_timeout"):
        config.get_value(file, "timeout")


# Peers


def test_a_peer_joins_and_leaves_a_list_of_lines(file: Path) -> None:
    put(file, WRITTEN_BY_HAND)
    assert config.with_peer(file, "cleo:7000").peers == ("anna.example.org", "10.0.0.7:6000", "cleo:7000")
    assert file.read_text() == WRITTEN_BY_HAND.replace("- 10.0.0.7:6000\n", "- 10.0.0.7:6000\n- cleo:7000\n")
    assert config.without_peer(file, "10.0.0.7:6000").peers == ("anna.example.org", "cleo:7000")
    assert file.read_text() == WRITTEN_BY_HAND.replace("- 10.0.0.7:6000\n", "- cleo:7000\n")
    config.without_peer(file, "cleo:7000")
    assert config.without_peer(file, "anna.example.org").peers == ()
    assert "  []   # Anna\n\n  # Ben comes later\ncontainer_timeout: 10m" in file.read_text()


def test_a_peer_joins_and_leaves_a_list_on_one_line(file: Path) -> None:
    put(file, BASE + "peers: []  # none yet\n")
    config.with_peer(file, "anna")
    config.with_peer(file, "ben:6000")
    assert file.read_text() == BASE + "peers: [anna, ben:6000]  # none yet\n"
    assert config.without_peer(file, "anna").peers == ("ben:6000",)


@pytest.mark.parametrize("start", ["", "peers:\n", "peers:  # soon\n", "peers: ~\n", "peers:\n  - b"])
def test_a_first_peer_can_be_added_wherever_the_list_stands(file: Path, start: str) -> None:
    put(file, BASE + start)
    assert config.with_peer(file, "anna").peers[-1] == "anna"
    assert config.load(file).peers[-1] == "anna"


def test_the_same_peer_is_not_added_twice(file: Path) -> None:
    put(file, BASE + "peers: [Anna]\n")
    assert config.with_peer(file, "anna:5556").peers == ("Anna",)
    assert config.without_peer(file, "ANNA").peers == ()


def test_removing_a_peer_that_is_not_there_says_who_is(file: Path) -> None:
    put(file, BASE + "peers: [anna]\n")
    with pytest.raises(ConfigError, match=r"ben is not among the peers of .*; they are: anna"):
        config.without_peer(file, "ben")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Desk", ("desk", 5556)),
        ("10.0.0.7:6000", ("10.0.0.7", 6000)),
        ("a.example.org", ("a.example.org", 5556)),
    ],
)
def test_an_address_of_a_peer(text: str, expected: tuple[str, int]) -> None:
    assert config.split_peer(text) == expected


@pytest.mark.parametrize("text", ["", "-x", "a b", "a:", "a:0", "a:65536", "http://a", "a:1:2", "a\n", "é"])
def test_no_address_of_a_peer(text: str) -> None:
    with pytest.raises(ValueError):
        config.split_peer(text)
