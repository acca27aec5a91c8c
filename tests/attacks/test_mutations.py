"""Every flag of a container is there for a reason: without it, a named attack gets through."""

import asyncio
import copy
import platform
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attack_scripts import ATTACKS, limits_for

from homie_core.sandbox.docker import PACKAGE, Docker
from homie_core.sandbox.owner import JOB_UID
from homie_core.sandbox.profile import Profile, User, confinement

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of system calls are those of x86_64"),
]


def without(*names: str) -> Callable[[Profile], None]:
    def mutate(profile: Profile) -> None:
        for name in names:
            del (profile.host if name in profile.host else profile.container)[name]

    return mutate


def without_item(name: str, start: str) -> Callable[[Profile], None]:
    def mutate(profile: Profile) -> None:
        left = [item for item in profile.host[name] if not str(item).startswith(start)]
        assert len(left) == len(profile.host[name]) - 1
        profile.host[name] = left

    return mutate


def without_tmp_option(start: str) -> Callable[[Profile], None]:
    def mutate(profile: Profile) -> None:
        [(place, options)] = profile.host["tmpfs"].items()
        left = [option for option in options.split(",") if not option.startswith(start)]
        assert len(left) == len(options.split(",")) - 1
        profile.host["tmpfs"] = {place: ",".join(left)}

    return mutate


MUTATIONS: dict[str, tuple[Callable[[Profile], None], str]] = {
    "user": (without("user"), "be_root"),
    "hostname": (without("hostname"), "learn_the_host's_name"),
    "network": (without("network_mode", "network_disabled"), "find_an_interface"),
    "read_only": (without("read_only"), "write_outside"),
    "cap_drop": (without("cap_drop"), "hold_capabilities"),
    "no-new-privileges": (without_item("security_opt", "no-new"), "gain_privileges"),
    "seccomp": (without_item("security_opt", "seccomp"), "io_uring"),
    "memory": (without("mem_limit", "memswap_limit"), "take_memory"),
    "shm_size": (without("shm_size"), "fill_shm"),
    "cpu": (without("cpu_period", "cpu_quota"), "take_cpu"),
    "pids_limit": (without("pids_limit"), "fork"),
    "oom_score_adj": (without("oom_score_adj"), "outlive_the_owner's_programs"),
    "nofile": (without_item("ulimits", "{'Name': 'nofile'"), "open_files"),
    "fsize": (without_item("ulimits", "{'Name': 'fsize'"), "make_a_huge_file"),
    "core": (without_item("ulimits", "{'Name': 'core'"), "dump_core"),
    "tmp size": (without_tmp_option("size="), "fill_tmp"),
    "tmp nr_inodes": (without_tmp_option("nr_inodes="), "fill_tmp_with_files"),
}
NOT_SEEN_FROM_INSIDE = {
    "image", "command", "detach", "stop_timeout", "healthcheck", "use_config_proxy",
    "ipc_mode",  # the engine's default, unless its owner set another
    "log_config", "tmpfs", "security_opt", "ulimits",
}  # fmt: skip
"""The golden profile holds these; of the last three each part has its mutation."""


@pytest.fixture(scope="module")
def docker(base_image: str) -> Iterator[Docker]:
    backend = Docker(base_image)
    asyncio.run(backend.prepare(print))
    yield backend
    asyncio.run(backend.close())


def profile(image: str, attack: str) -> Profile:
    made = confinement(image, User(JOB_UID, JOB_UID), limits_for(attack), (PACKAGE / "seccomp.json").read_text())
    return Profile(
        {**made.container, "entrypoint": ["python3", "-I", "-c", ATTACKS[attack]]}, copy.deepcopy(made.host)
    )


async def outcome(docker: Docker, profile: Profile) -> str:
    end, output = await docker._run(profile, 30)
    assert output.strip() in (b"through", b"stopped"), (end, output)
    return output.strip().decode()


@pytest.mark.parametrize("flag", MUTATIONS)
async def test_without_the_flag_its_attack_gets_through(docker: Docker, flag: str) -> None:
    mutate, attack = MUTATIONS[flag]
    mutated = profile(docker.image, attack)
    assert await outcome(docker, mutated) == "stopped", "with all its flags"
    mutate(mutated)
    assert await outcome(docker, mutated) == "through"


def test_no_flag_is_without_a_mutation(docker: Docker) -> None:
    made: Any = profile(docker.image, "be_root")
    flags = {**made.container, **made.host}.keys() - {"entrypoint"}
    touched = set()
    for mutate, _ in MUTATIONS.values():
        mutated = profile(docker.image, "be_root")
        mutate(mutated)
        left = {**mutated.container, **mutated.host}
        touched |= flags - left.keys()
    assert flags - touched == NOT_SEEN_FROM_INSIDE
