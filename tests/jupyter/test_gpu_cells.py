"""`%%homie --gpu=SPEC` and `--vram`, on a peer whose cards are played."""

import os
from collections.abc import Iterator

import pytest
from cards_lab import card, pair_with_cards
from jupyter_client.manager import start_new_kernel
from local_kernel import LocalKernel, local_kernel
from pair import Pair

# jupyter_client on its way to a new event loop policy; nothing of ours
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client")

MINE = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    cards = (
        card("GPU-small", "NVIDIA GeForce RTX 3080", 10, 9),
        card("GPU-large", "NVIDIA A100-SXM4-40GB", 40, 39),
    )
    share = {"container_cpu_limit": "0.2", "container_memory_limit": "64m", "sandbox_pool": "0"}
    with pair_with_cards(tmp_path_factory.mktemp("driver"), *cards, **share) as pair:
        yield pair


@pytest.fixture(scope="module")
def kernel(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKernel]:
    with local_kernel(tmp_path_factory.mktemp("notebook"), HOMIE_HOME=str(pair.laptop.home)) as kernel:
        yield kernel


def test_a_session_has_the_cards_that_its_first_cell_asks_for(kernel: LocalKernel):
    ran = kernel.run(f"%%homie -s large --gpu='a100:1, 40G'\n{MINE}")
    assert ran.stream() == "GPU-large\n"
    assert ran.footer.startswith("desk · A100-SXM4-40GB · ")
    assert kernel.run(f"%%homie -s large --gpu\n{MINE}").stream() == "GPU-large\n", "it has one"
    assert kernel.run(f"%%homie -s small --vram 8G\n{MINE}").stream() == "GPU-small\n"
    ran = kernel.run("%%homie -s small --gpu=A100\npass", fine=False)
    assert "the session small on desk is open already, without --gpu; open another one with -s" in ran.stream(
        "stderr"
    )
    kernel.run("%homie end small")
    kernel.run("%homie end large")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--gpu=H100", "desk: has no H100, but RTX 3080 (10 GB), A100-SXM4-40GB (40 GB). Ask for less with --gpu"),
        ("--vram 80G", "desk: has no GPU with 80 GB of VRAM"),
        ("--gpu=0", "argument --gpu: 0 graphics cards cannot be had: 1 to 16; see `%%homie?`"),
        ("--gpu='A100:2,", "the options cannot be read: no closing quotation"),
        ("--vram 24", "argument --vram: '24' is no memory of a graphics card; write for example 24G"),
        ("--gpu A100", "`%%homie` takes options only, not 'A100'; did you mean --gpu=A100?"),
        ("--gqu=2", "did you mean --gpu?"),
    ],
)
def test_what_cannot_be_had_is_said_in_the_cell(kernel: LocalKernel, line, words):
    ran = kernel.run(f"%%homie {line}\npass", fine=False)
    assert ran.status == "error"
    assert words in ran.stream("stderr")
    assert "Traceback" not in ran.stream("stderr")


def test_defaults_hold_where_a_cell_says_nothing(kernel: LocalKernel):
    kernel.run("%config Homie.gpu = 'rtx 3080'")
    try:
        assert kernel.run(f"%%homie --fresh\n{MINE}").stream() == "GPU-small\n"
        assert kernel.run(f"%%homie --fresh --gpu=A100\n{MINE}").stream() == "GPU-large\n"
        kernel.run("%config Homie.gpu = True")
        assert kernel.run(f"%%homie --fresh --vram 8G\n{MINE}").stream() == "GPU-small\n"
    finally:
        kernel.run("%config Homie.gpu = False")
    assert kernel.run(f"%%homie --fresh\n{MINE}").stream() == "None\n"


def test_options_are_completed_behind_a_quoted_value(kernel: LocalKernel):
    line = "%%homie --gpu='A100:2, 40G' --vr"
    assert kernel.client.complete(line, len(line), reply=True, timeout=20)["content"]["matches"] == ["--vram"]
    assert kernel.client.complete("%%homie --gp", 12, reply=True, timeout=20)["content"]["matches"] == ["--gpu"]


def test_a_kernel_on_a_peer_has_the_cards_that_it_was_installed_with(pair: Pair, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    pair.laptop.homie(
        "kernel", "install", "--name", "desk", "--gpu=rtx3080", env={**os.environ, **pair.laptop.env}
    )
    manager, client = start_new_kernel(kernel_name="homie-desk", cwd=str(tmp_path))
    try:
        assert LocalKernel(manager, client).run(MINE).stream() == "GPU-small\n"
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
