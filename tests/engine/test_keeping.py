"""What a host keeps of jobs that have ended stays within its owner's budget, at the cost of the oldest."""

import random

from homie_core.engine.keeping import Kept, surplus
from homie_core.model.names import JobId


def kept(*sizes, wanted=()):
    """Return jobs of these sizes, the oldest first."""
    return [
        Kept(JobId(str(number)), ended=float(number), size=size, wanted=number in wanted)
        for number, size in enumerate(sizes)
    ]


def test_what_fits_is_kept():
    assert surplus([], 10) == []
    assert surplus(kept(3, 3, 4), 10) == []


def test_the_oldest_go_until_the_others_fit():
    assert surplus(kept(3, 3, 4), 9) == ["0"]
    assert surplus(kept(1, 1, 9), 9) == ["0", "1"]
    assert surplus(reversed(kept(1, 1, 8)), 9) == ["0"]


def test_the_one_that_ended_last_stays_however_large():
    assert surplus(kept(11), 10) == []
    assert surplus(kept(1, 11), 10) == ["0"]


def test_what_is_being_fetched_stays_and_counts():
    assert surplus(kept(5, 5, 5, wanted={0}), 10) == ["1"]
    assert surplus(kept(5, 5, 5, wanted={0, 1}), 10) == []


def test_no_more_goes_than_has_to():
    for seed in range(200):
        chance = random.Random(seed)
        jobs = kept(*(chance.randrange(100) for _ in range(chance.randrange(1, 20))))
        limit = chance.randrange(1000)
        gone = surplus(jobs, limit)
        assert gone == [job.job for job in jobs[: len(gone)]]
        left = sum(job.size for job in jobs[len(gone) :])
        assert left <= limit or len(gone) == len(jobs) - 1
        assert not gone or left + jobs[len(gone) - 1].size > limit
