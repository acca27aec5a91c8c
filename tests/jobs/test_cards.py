"""Jobs ask for cards by number, name and memory: who gets which, who waits, who is refused."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cards_lab import card, pair_with_cards
from pair import Pair

import homie_core as homie
from homie_core.api.workers import close_all
from homie_core.client import Client, new_job_id, request_for_script
from homie_core.model.control import JobEvent, Placed
from homie_core.model.event import Ended, Output, Queued, Started
from homie_core.model.gpu import parse_gpu
from homie_core.model.job import Ask

README = (Path(__file__).parents[2] / "README.md").read_text()
COMMANDS = re.findall(r"^\$ homie (run (?:--gpu|--vram).*train\.py)", README, re.MULTILINE)
MINE = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    cards = (
        card("GPU-small", "NVIDIA GeForce RTX 3080", 10, 9),
        card("GPU-large", "NVIDIA A100-SXM4-40GB", 40, 39),
        card("GPU-huge", "NVIDIA A100-SXM4-80GB", 80, 79),
    )
    share = {"container_cpu_limit": "0.2", "container_memory_limit": "64m"}
    with pair_with_cards(tmp_path_factory.mktemp("driver"), *cards, **share) as pair:
        yield pair


@pytest.mark.parametrize(
    ("options", "cards"),
    [
        ("--gpu", "GPU-huge"),
        ("--gpu=rtx3080", "GPU-small"),
        ("--gpu=8G", "GPU-small"),
        ("--vram 24G", "GPU-large"),
        ("--gpu=2", "GPU-huge,GPU-large"),
        ("--gpu=2,8G", "GPU-small,GPU-large"),
        ("--cpus=0.1", "None"),
    ],
)
def test_a_job_gets_the_cards_that_it_asks_for(run, options, cards):
    done = run(MINE, options=options.split())
    assert (done.returncode, sorted(done.stdout.strip().split(","))) == (0, sorted(cards.split(",")))


@pytest.mark.parametrize(("command", "count"), list(zip(COMMANDS, (1, 2, 1, 1, 2), strict=True)))
def test_the_readmes_commands_run_as_they_stand(pair, tmp_path, command, count):
    (tmp_path / "train.py").write_text(MINE)
    done = pair.laptop.homie(*command.split(), cwd=tmp_path)
    assert len(done.stdout.split(",")) == count


def test_so_does_a_call(pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOMIE_HOME", str(pair.laptop.home))
    try:
        assert homie.run(mine, gpu="a100", vram="24G") == "GPU-large"
        assert homie.run(mine, vram="8G") == "GPU-small"
        with pytest.raises(homie.HomieError, match="desk: has 2 A100, not 3"):
            homie.run(mine, gpu="A100:3")
    finally:
        close_all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--gpu=H100", "desk: has no H100, but RTX 3080 (10 GB), A100-SXM4-40GB (40 GB), A100-SXM4-80GB (80 GB)"),
        (
            "--gpu=rtx,24G",
            "desk: has no rtx with 24 GB of VRAM, but RTX 3080 (10 GB), A100-SXM4-40GB (40 GB), "
            "A100-SXM4-80GB (80 GB)",
        ),
        ("-n desk --gpu=A100:2,80G", "desk: has 1 A100 with 80 GB of VRAM, not 2"),
        ("--gpu=4", "desk: has 3 GPUs, not 4"),
    ],
)
def test_cards_that_nobody_has_are_refused_with_those_that_are_there(run, options, words):
    done = run(MINE, options=options.split())
    assert (done.returncode, done.stdout) == (1, "")
    assert f"no peer can take this job. {words}. Ask for less with --gpu or --vram, or see `homie peers`" in (
        " ".join(done.stderr.split())
    )


def mine() -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def taken_on_desk(pair: Pair) -> list[str]:
    (desk,) = pair.laptop.peers()
    return [card["name"] for card in desk["gpus"] if card["taken"]]


def test_a_card_that_is_taken_is_nobody_elses_and_is_waited_for(pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hold.py").write_text("print('on', flush=True)\nimport time\ntime.sleep(30)\n")
    (tmp_path / "mine.py").write_text(MINE)
    client = Client(pair.laptop.home)

    def news_of(spec):
        request = request_for_script(
            "mine.py", results=tmp_path, job=new_job_id(), ask=Ask(gpu=parse_gpu(spec)), node="desk"
        )
        return client.run(request)

    with pair.laptop.popen("run", "--gpu=A100:2", "hold.py", stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "on\n"
        held, until = ["NVIDIA A100-SXM4-40GB", "NVIDIA A100-SXM4-80GB"], time.monotonic() + 20
        while taken_on_desk(pair) != held and time.monotonic() < until:
            continue  # heartbeats tell it
        assert taken_on_desk(pair) == held
        assert "NVIDIA A100-SXM4-40GB (taken)" in pair.laptop.homie("peers").stdout

        told = list(news_of("1"))
        (placed,) = [news for news in told if isinstance(news, Placed)]
        assert placed.why == "RTX 3080, 9.0 GB of VRAM free"
        events = [news.record.event for news in told if isinstance(news, JobEvent)]
        assert [event.gpus for event in events if isinstance(event, Started)] == [("NVIDIA GeForce RTX 3080",)]
        assert b"".join(event.data for event in events if isinstance(event, Output)) == b"GPU-small\n"

        events = (news.record.event for news in news_of("A100") if isinstance(news, JobEvent))
        assert next(event.reason for event in events if isinstance(event, Queued)) == "waits for 1 A100"
        (mine,) = [job.id for job in client.jobs() if job.title == "hold.py"]
        client.stop(mine)
        assert next(event.gpus for event in events if isinstance(event, Started)) == ("NVIDIA A100-SXM4-80GB",)
        assert next(event.outcome.status for event in events if isinstance(event, Ended)) == 0
