"""Many short jobs, several at a time: none is lost, none runs twice, and the daemons do not grow."""

from dataclasses import replace

import pytest

from benchmarks.soak import Held, Soak, soak

JOBS = 120
"""The figures of docs/status.md are of more: `python -m benchmarks soak`."""
WHOLE = Soak(
    lost=[],
    doubled=[],
    seconds=60.0,
    held={0: {"desk": Held(55, 20)}, 40: {"desk": Held(60, 20)}, JOBS: {"desk": Held(65, 20)}},
    most={"desk": 70},
)


@pytest.mark.docker
def test_many_short_jobs_are_run_once_and_leave_nothing_behind(base_image: str) -> None:
    came = soak(JOBS, "bubblewrap")
    assert set(came.held) == {0, JOBS // 3, JOBS}
    assert all(set(held) == {"laptop", "desk"} for held in came.held.values())
    came.check()


@pytest.mark.parametrize(
    "broken",
    [
        replace(WHOLE, lost=["7: its file did not come"]),
        replace(WHOLE, doubled=["7: it started twice"]),
        replace(WHOLE, held=WHOLE.held | {JOBS: {"desk": Held(67, 20)}}),
        replace(WHOLE, held=WHOLE.held | {JOBS: {"desk": Held(65, 21)}}),
    ],
    ids=["lost", "doubled", "grown", "leaks"],
)
def test_a_soak_in_which_one_thing_is_broken_fails(broken: Soak) -> None:
    WHOLE.check()
    with pytest.raises(AssertionError):
        broken.check()
