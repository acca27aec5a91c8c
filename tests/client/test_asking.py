"""What options of a call mean, and where there is room for one more worker: without any peer."""

import pytest
from fake_daemon import GB, peer

from homie_core.api.asking import where
from homie_core.api.workers import places
from homie_core.model.gpu import GpuAsk
from homie_core.model.peer import Capacity, Gpu


@pytest.mark.parametrize(
    ("options", "gpu"),
    [
        ({}, None),
        ({"gpu": False}, None),
        ({"gpu": 0, "vram": None}, None),
        ({"gpu": True}, GpuAsk()),
        ({"gpu": 2}, GpuAsk(count=2)),
        ({"gpu": "A100:2", "vram": "40G"}, GpuAsk(count=2, name="A100", vram=40 * GB)),
        ({"vram": 24 * GB}, GpuAsk(vram=24 * GB)),
    ],
)
def test_cards_are_asked_for_as_on_the_command_line(options, gpu):
    assert where(**options).ask.gpu == gpu


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gpu": 17}, "gpu: 17 graphics cards cannot be had: 1 to 16"),
        ({"gpu": -1}, "gpu: '-1' names no graphics card"),
        ({"gpu": "24G,8G"}, "gpu: '24G,8G' says the VRAM twice"),
        ({"vram": "24"}, "vram: '24' is no memory of a graphics card; write for example 24G"),
    ],
)
def test_what_is_no_card_is_told_with_the_options_name(options, words):
    with pytest.raises(ValueError, match=words):
        where(**options)


def card(name: str, taken: bool = False) -> Gpu:
    return Gpu(name=name, uuid="GPU-1", vram_total=10 * GB, vram_free=9 * GB, taken=taken)


def test_a_worker_for_each_set_of_cards_that_is_free():
    desk = peer(
        capacity=Capacity(
            cores=64, cpu_percent=0.0, ram_total=64 * GB, ram_free=64 * GB, sharing=True,
            free_cpus=64.0, free_memory=64 * GB, max_cpus=1.0, max_memory=GB,
            gpus=(card("RTX 3080"), card("RTX 3080", taken=True), card("RTX 3090"), card("A100")),
        )
    )  # fmt: skip

    def fit(**options):
        return len(places([desk], where(**options)))

    assert fit() == 64
    assert (fit(gpu=True), fit(gpu=2), fit(gpu="rtx"), fit(gpu="rtx:2"), fit(gpu="rtx:3")) == (3, 1, 2, 1, 0)
    assert (fit(vram="10G"), fit(vram="11G")) == (3, 0)
