from homie_core.engine.admission import RECEIVE_PATIENCE, Admission, Refusal
from homie_core.engine.lent import MAX_WAITING, Lent
from homie_core.model.gpu import GpuAsk
from homie_core.model.job import Ask, Limits
from homie_core.model.names import JobId, PeerId
from homie_core.model.peer import Gpu

GB = 1 << 30
LENT = Lent(cpus=4, memory=8 * GB, job_cpus=2, job_memory=4 * GB, job_timeout=600)
CARDS = tuple(Gpu(name="RTX 3080", uuid=uuid, vram_total=10 * GB, vram_free=9 * GB) for uuid in ("GPU-a", "GPU-b"))

ANYTHING = Ask()


ME, YOU = PeerId("a" * 64), PeerId("b" * 64)


def host(**changes):
    return Admission("desk", LENT, CARDS, **changes)


def ready(admission, number, ask=ANYTHING, submitter=ME):
    job = JobId(f"{number:012x}")
    assert isinstance(admission.offer(job, submitter, ask, 0.0), Limits)
    admission.complete(job)
    return job


def test_what_is_not_asked_is_the_owners_limit():
    limits = host().offer(JobId("0" * 12), ME, Ask(), 0.0)
    assert (limits.cpus, limits.memory, limits.timeout, limits.gpus) == (2, 4 * GB, 600, ())


def test_more_than_is_lent_is_refused_with_both_figures():
    for ask, words in [
        (Ask(cpus=3), "at most 2 cores, not 3"),
        (Ask(memory=5 * GB), "at most 4.0 GB of memory, not 5.0 GB"),
        (Ask(timeout=3600), "after 10 min; 1 h is too long"),
        (Ask(gpu=GpuAsk(count=3)), "desk has 2 GPUs, not 3; ask for less with --gpu"),
        (
            Ask(gpu=GpuAsk(vram=24 * GB)),
            "desk has no GPU with 24 GB of VRAM, but RTX 3080 (10 GB), RTX 3080 (10 GB);",
        ),
    ]:
        answer = host().offer(JobId("0" * 12), ME, ask, 0.0)
        assert isinstance(answer, Refusal)
        assert words in answer.reason


def test_a_closed_host_says_why():
    answer = host(closed="sharing is off").offer(JobId("0" * 12), ME, Ask(), 0.0)
    assert answer == Refusal("desk takes no jobs: sharing is off")


def test_a_job_starts_when_its_files_are_here_and_holds_its_share():
    admission = host()
    job = JobId("0" * 12)
    admission.offer(job, ME, Ask(), 0.0)
    assert admission.start() == {}
    admission.complete(job)
    assert list(admission.start()) == [job]
    assert (admission.free_cpus, admission.free_memory) == (2, 4 * GB)
    admission.release(job)
    assert (admission.free_cpus, admission.free_memory) == (4, 8 * GB)


def test_what_does_not_fit_waits_and_hears_its_place_once():
    admission = host()
    jobs = [ready(admission, number) for number in range(4)]
    assert list(admission.start()) == jobs[:2]
    news = admission.announce()
    assert {job: queued.position for job, queued in news.items()} == {jobs[2]: 1, jobs[3]: 2}
    assert "2 cores (0 free)" in news[jobs[2]].reason
    assert admission.announce() == {}
    admission.release(jobs[0])
    assert list(admission.start()) == [jobs[2]]
    assert admission.announce()[jobs[3]].position == 1


def test_small_jobs_do_not_overtake_a_big_one_for_ever():
    admission = host()
    running = ready(admission, 1, Ask(cpus=1))
    ready(admission, 2, Ask(cpus=2))
    assert len(admission.start()) == 2
    big = ready(admission, 3, Ask(cpus=2))
    small = ready(admission, 4, Ask(cpus=1))
    assert admission.start() == {}
    admission.release(running)
    assert list(admission.start()) == [big]
    assert small in admission.queue


def test_two_jobs_never_hold_the_same_card():
    admission = host()
    for number in range(3):
        ready(admission, number, Ask(cpus=0.5, memory=GB, gpu=GpuAsk()))
    cards = [limits.gpus for limits in admission.start().values()]
    assert cards == [("GPU-a",), ("GPU-b",)]
    assert admission.announce().popitem()[1].reason == "waits for 1 GPU"


def test_the_queue_is_bounded():
    admission = host()
    for number in range(MAX_WAITING):
        admission.offer(JobId(f"{number:012x}"), ME, Ask(), 0.0)
    assert isinstance(admission.offer(JobId("f" * 12), ME, Ask(), 0.0), Refusal)


def test_a_job_whose_files_stop_arriving_expires_and_one_whose_files_come_does_not():
    admission = host()
    stalled, moving = JobId("0" * 12), JobId("1" * 12)
    admission.offer(stalled, ME, Ask(), 0.0)
    admission.offer(moving, ME, Ask(), 0.0)
    admission.progress(moving, RECEIVE_PATIENCE)
    assert admission.expired(RECEIVE_PATIENCE + 1) == [stalled]


def test_a_session_that_rests_keeps_its_memory_and_lends_its_cores_on():
    admission = host()
    first, second = ready(admission, 1, Ask(memory=GB)), ready(admission, 2, Ask(memory=GB))
    admission.start()
    third = ready(admission, 3, Ask(memory=GB))
    assert admission.start() == {}
    admission.rest(first, resting=True)
    assert (admission.free_cpus, admission.free_memory) == (2, 6 * GB)
    assert list(admission.start()) == [third]
    admission.rest(first, resting=False)
    assert admission.free_cpus == 0, "lent twice, and not more than all"
    admission.release(second)
    assert admission.free_cpus == 0
    admission.release(third)
    assert admission.free_cpus == 2


def test_what_does_not_run_cannot_rest():
    admission = host()
    job = ready(admission, 1)
    admission.rest(job, resting=True)
    admission.start()
    assert admission.free_cpus == 2
    admission.release(job)
    assert admission.resting == set()
