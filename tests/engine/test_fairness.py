"""Whose job is next: the real admission, also under offers, ends and rests that hypothesis makes up."""

from collections import Counter

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from homie_core.engine.admission import Admission, Refusal
from homie_core.engine.lent import MAX_WAITING, TURNED_AWAY, Lent
from homie_core.engine.line import PATIENCE
from homie_core.engine.room import Claim
from homie_core.model.event import Queued
from homie_core.model.gpu import GpuAsk
from homie_core.model.job import Ask, Limits
from homie_core.model.names import JobId, PeerId
from homie_core.model.peer import Gpu

GB = 1 << 30
LENT = Lent(cpus=4, memory=8 * GB, job_cpus=4, job_memory=8 * GB, job_timeout=600, job_disk=GB, jobs=6)
CARD = Gpu(name="RTX 3080", uuid="GPU-a", vram_total=10 * GB, vram_free=9 * GB)
ANA, BEN, CLEO = WHO = tuple(PeerId(letter * 64) for letter in "abc")
ONE = Ask(cpus=1, memory=GB)


class Desk:
    """A host whose jobs all have their files at once; it starts what may start after each thing that happens."""

    def __init__(self, lent=LENT, cards=(), disk=100 * GB):
        self.admission = Admission("desk", lent, cards, disk)
        self.owner, self.started, self.places, self.count = {}, [], {}, 0

    def submit(self, who, ask=ONE, now=0.0, most=None):
        job, self.count = JobId(f"{self.count:012x}"), self.count + 1
        answer = self.admission.offer(job, who, ask, now, most)
        if isinstance(answer, Limits):
            self.owner[job] = who
            self.admission.complete(job)
            self.go_on()
            return job
        return answer

    def end(self, job):
        self.admission.release(job)
        self.go_on()

    def go_on(self):
        started = list(self.admission.start())
        self.started += started
        for job, queued in self.admission.announce().items():
            self.places[job] = queued
        for job in started:
            self.places.pop(job, None)
        return started

    def line(self):
        return sorted(self.admission.queue, key=lambda job: self.places[job].position)


def whose(desk, jobs):
    return "".join("abc"[WHO.index(desk.owner[job])] for job in jobs)


def test_two_who_have_much_waiting_take_turns():
    desk = Desk(Lent(**{**vars(LENT), "jobs": 1}))
    for who in (ANA,) * 5 + (BEN,) * 5:
        desk.submit(who)
    assert whose(desk, desk.line()) == "abbababab", "Ana holds something: so it would be if that did not end"
    while desk.admission.running:
        desk.end(next(iter(desk.admission.running)))
    assert whose(desk, desk.started) == "aababababb", "Ana's second came before Ben was there"


def test_who_holds_less_is_next():
    desk = Desk()
    long = [desk.submit(ANA) for _ in range(4)]
    for who in (ANA, ANA, ANA, BEN, BEN, BEN):
        desk.submit(who)
    for job in long[:3]:
        desk.end(job)
    assert whose(desk, desk.started[4:]) == "abb", "Ana's first was next when Ben came; then Ben holds less"
    assert Counter(whose(desk, desk.admission.running)) == {"a": 2, "b": 2}


def test_what_somebody_holds_is_measured_by_the_resource_of_which_it_is_most():
    desk = Desk()
    desk.submit(ANA, Ask(cpus=0.5, memory=5 * GB))
    desk.submit(BEN, Ask(cpus=2, memory=GB))
    last = desk.submit(CLEO, Ask(cpus=1.5, memory=GB))
    desk.submit(CLEO, Ask(cpus=1, memory=GB))
    desk.submit(ANA, Ask(cpus=0.5, memory=0.25 * GB))
    desk.submit(BEN, Ask(cpus=0.5, memory=0.25 * GB))
    assert whose(desk, desk.line()) == "cba"
    desk.end(last)
    assert whose(desk, desk.started[3:]) == "cb", "Ana holds most of the memory, Ben half of the cores"


def test_who_holds_most_has_a_turn_after_enough_of_others():
    desk = Desk(Lent(**{**vars(LENT), "jobs": 2}))
    desk.submit(ANA, Ask(cpus=1, memory=6 * GB))
    running = desk.submit(BEN)
    desk.submit(BEN)
    job = desk.submit(ANA)
    for _ in range(PATIENCE):
        assert job not in desk.started
        desk.submit(BEN)
        desk.end(running)
        running = desk.started[-1]
    assert desk.line()[0] == job, "Ben holds less, and yet"
    desk.submit(BEN)
    desk.end(running)
    assert desk.started[-1] == job


def test_a_session_that_rests_holds_no_cores():
    desk = Desk()
    session = desk.submit(ANA, Ask(cpus=4, memory=GB))
    desk.submit(BEN)
    desk.admission.rest(session, resting=True)
    assert whose(desk, desk.go_on()) == "b"


def test_what_waits_for_a_card_holds_back_only_what_it_will_need():
    desk = Desk(cards=(CARD,))
    card = desk.submit(ANA, Ask(cpus=1, memory=GB, gpu=GpuAsk()))
    waits = desk.submit(BEN, Ask(cpus=1, memory=GB, gpu=GpuAsk()))
    assert desk.places[waits] == Queued(position=1, reason="waits for 1 GPU")
    big = desk.submit(CLEO, Ask(cpus=3, memory=GB))
    assert desk.places[big].position == 2
    assert desk.places[big].reason == "waits for the jobs before it", "one of the three free cores is Ben's"
    small = desk.submit(CLEO, Ask(cpus=1, memory=GB))
    assert small in desk.admission.queue, "within one submitter in order"
    assert desk.submit(ANA, Ask(cpus=1, memory=GB)) in desk.admission.queue, "the cores are kept for big"
    desk.end(card)
    assert desk.started[1] == waits
    assert desk.admission.running[waits].limits.gpus == ("GPU-a",)
    assert desk.started[2] == big


def test_slots_and_disk_are_reserved_like_the_rest():
    desk = Desk(disk=int(2.5 * GB))
    assert [desk.submit(ANA, Ask(cpus=0.1, memory=GB // 4)) for _ in range(2)] == desk.started
    waits = desk.submit(ANA, Ask(cpus=0.1, memory=GB // 4))
    assert desk.places[waits].reason == "waits for 1.0 GB of disk (512 MB free)"
    desk.admission.disk = 100 * GB
    assert desk.go_on() == [waits]
    assert desk.admission.free_jobs == 3
    for _ in range(4):
        last = desk.submit(ANA, Ask(cpus=0.1, memory=GB // 4))
    assert desk.places[last].reason == "waits for one of the jobs here to end"
    assert desk.admission.free_jobs == 0


def test_a_full_disk_refuses_at_once_and_says_so_and_recovers():
    desk = Desk(disk=GB // 2)
    assert desk.submit(ANA) == Refusal(
        "desk lends a job 1.0 GB of disk and has 512 MB left; try another peer, or ask its owner for room"
    )
    desk.admission.disk = GB
    assert desk.submit(ANA) in desk.started


def test_one_has_all_places_and_two_share_them_half_and_half():
    desk = Desk(Lent(**{**vars(LENT), "jobs": 1}))
    desk.submit(CLEO)
    answers = [desk.submit((ANA, BEN)[number % 2]) for number in range(1000)]
    taken = Counter(desk.owner[job] for job in desk.admission.queue)
    assert taken == {ANA: 50, BEN: 50}
    assert Counter(isinstance(answer, Refusal) for answer in answers) == {True: 900, False: 100}
    assert answers[-1].reason == (
        "desk has 50 jobs of yours waiting, your share of its 100 places; try another peer, or later"
    )


def test_who_finds_all_places_taken_gets_the_next_one():
    desk = Desk(Lent(**{**vars(LENT), "jobs": 1}))
    running = desk.submit(ANA)
    for _ in range(MAX_WAITING):
        assert not isinstance(desk.submit(ANA), Refusal)
    assert desk.submit(ANA) == Refusal("desk has 100 jobs waiting already; try another peer, or later")
    assert desk.submit(BEN) == Refusal("desk has 100 jobs waiting already; try another peer, or later")
    desk.end(running)
    assert "your share" in desk.submit(ANA).reason, "Ben was turned away"
    assert desk.submit(BEN, now=1.0) in desk.admission.queue
    desk.end(next(iter(desk.admission.running)))
    assert desk.submit(CLEO, now=2.0) in desk.admission.queue
    desk.submit(CLEO, now=2.0)
    desk.end(next(job for job in desk.admission.queue if desk.owner[job] is CLEO))
    desk.end(next(job for job in desk.admission.queue if desk.owner[job] is BEN))
    assert isinstance(desk.submit(ANA, now=3.0), Refusal)
    assert desk.submit(ANA, now=3.0 + TURNED_AWAY) in desk.admission.queue


def test_a_job_that_may_not_wait_hears_where_it_would():
    desk = Desk()
    assert desk.submit(ANA, Ask(cpus=3), most=0) in desk.started
    would = desk.submit(BEN, Ask(cpus=2, memory=GB), most=0)
    assert would == Queued(position=1, reason="waits for 2 cores (1 free)")
    assert not desk.admission.queue
    assert not desk.admission.receiving
    assert desk.submit(BEN, Ask(cpus=2, memory=GB), most=1) in desk.admission.queue
    assert desk.submit(ANA, Ask(cpus=1, memory=GB), most=1).position == 2
    assert desk.submit(ANA, Ask(cpus=1, memory=GB), most=None) in desk.admission.queue


def test_jobs_whose_files_are_still_coming_count_when_it_is_asked_where_one_would_wait():
    admission = Desk().admission
    coming = JobId("e" * 12)
    assert isinstance(admission.offer(coming, ANA, Ask(cpus=3), 0.0, 0), Limits)
    assert isinstance(admission.offer(JobId("f" * 12), BEN, Ask(cpus=3), 0.0, 0), Queued)
    assert admission.free_cpus == 4, "and yet nothing is kept for it"
    admission.release(coming)
    assert isinstance(admission.offer(JobId("f" * 12), BEN, Ask(cpus=3), 0.0, 0), Limits)


def test_after_a_restart_they_hold_and_wait_as_before():
    desk = Desk()
    limits = Limits(cpus=3, memory=GB, timeout=600, disk=GB)
    desk.owner = {JobId("d" * 12): ANA, JobId("e" * 12): ANA, JobId("f" * 12): BEN}
    runs, first, second = desk.owner
    desk.admission.resume(runs, Claim(ANA, limits))
    for job in (first, second):
        desk.admission.expect(job, Claim(desk.owner[job], limits), 0.0)
        desk.admission.complete(job)
    desk.go_on()
    assert desk.line() == [second, first], "Ana holds something, Ben nothing"
    desk.end(runs)
    assert desk.started == [second]


ASKS = st.builds(
    Ask, cpus=st.sampled_from([0.5, 1, 2, 3, 4]), memory=st.sampled_from([GB // 2, GB, 4 * GB, 8 * GB])
)
SUBMIT = st.tuples(st.just("submit"), st.sampled_from(WHO), ASKS)
OTHER = st.tuples(st.sampled_from(["end", "stop", "rest", "wake"]), st.integers(0, 9), st.none())
STORY = st.lists(st.one_of(SUBMIT, SUBMIT, OTHER), max_size=120)


def tell(desk, what, who, ask):
    """Let one thing happen; return nothing if it could not."""
    among = list(desk.admission.queue if what == "stop" else desk.admission.running)
    if what == "submit":
        desk.submit(who, ask)
    elif among:
        job = among[who % len(among)]
        if what in ("end", "stop"):
            desk.end(job)
        else:
            desk.admission.rest(job, resting=what == "rest")
            desk.go_on()


@settings(deadline=None)
@given(STORY)
def test_nothing_is_lent_twice_and_what_is_next_starts_first(story):
    desk = Desk()
    for event in story:
        before, count = desk.line(), len(desk.started)
        tell(desk, *event)
        now = desk.started[count:]
        stopped = desk.owner.keys() - desk.admission.queue.keys() - set(desk.started)
        held = [claim.limits for job, claim in desk.admission.running.items()]
        assert sum(limits.memory for limits in held) <= LENT.memory
        assert len(held) <= LENT.jobs
        awake = [claim for job, claim in desk.admission.running.items() if job not in desk.admission.resting]
        if event[0] != "wake":
            assert sum(claim.limits.cpus for claim in awake) <= LENT.cpus or count == len(desk.started)
        if now and before and before[0] in desk.owner.keys() - stopped:
            assert now[0] == before[0], "the one that was told it is first"
        assert sorted(queued.position for job, queued in desk.places.items() if job in desk.admission.queue) == [
            *range(1, len(desk.admission.queue) + 1)
        ]
        for who in WHO:
            mine = [job for job in desk.line() if desk.owner[job] is who]
            assert mine == sorted(mine), "in order within one submitter"


@settings(deadline=None)
@given(STORY)
def test_all_that_waits_starts_in_the_end_and_each_once(story):
    desk = Desk()
    for event in story:
        tell(desk, *event)
    stopped = set(desk.owner) - set(desk.started) - set(desk.admission.queue)
    while desk.admission.running:
        desk.end(next(iter(desk.admission.running)))
    assert not desk.admission.queue
    assert sorted(desk.started) == sorted(set(desk.owner) - stopped)


@settings(max_examples=20, deadline=None, phases=[Phase.generate])
@pytest.mark.parametrize("big", [Ask(cpus=4, memory=GB), Ask(cpus=3, memory=7 * GB)])
@given(story=st.lists(st.tuples(st.sampled_from([BEN, CLEO]), st.integers(0, 9)), min_size=200, max_size=300))
def test_a_big_job_is_not_starved_by_small_ones_whatever_its_submitter_holds(big, story):
    desk = Desk()
    desk.submit(ANA, Ask(cpus=0.5, memory=GB))
    desk.submit(ANA, Ask(cpus=0.5, memory=GB) if big.cpus < 4 else ONE)
    held = list(desk.admission.running)
    for who in (BEN, CLEO) * 3:
        desk.submit(who)
    job = desk.submit(ANA, big)
    before = len(desk.started)
    desk.end(held[1])
    if big.cpus == 4:
        desk.end(held[0])
    else:
        big_fits_beside = desk.admission.running.keys() & set(held)
        assert big_fits_beside
    for who, number in story:
        if job in desk.started:
            break
        desk.submit(who)
        others = [each for each in desk.admission.running if each not in held]
        desk.end(others[number % len(others)])
    assert job in desk.started
    assert desk.started.index(job) - before <= PATIENCE + len(WHO)
