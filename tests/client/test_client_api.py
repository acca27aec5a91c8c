"""The client against a control server on a real Unix socket."""

from pathlib import Path

import pytest
from fake_daemon import DESK, STATUS, FakeDaemon, Story, peer

from homie_core.client import Client, new_job_id
from homie_core.model.control import AddPeer, JobEvent, Refused, RunRequest, Source
from homie_core.model.errors import BadMessage, ConfigError, DaemonUnreachable, NoPeer, UnsafeName
from homie_core.model.job import Kind
from homie_core.model.names import FileName, JobId

JOB = JobId("0123456789ab")


def request() -> RunRequest:
    source = Source(name=FileName("a.py"), content=b"print(1)")
    return RunRequest(id=JOB, kind=Kind.SCRIPT, entry=FileName("a.py"), files=(source,), results="/tmp/r")


def test_status_and_peers_come_as_their_types(homie_home: Path) -> None:
    with FakeDaemon(homie_home) as daemon:
        daemon.peers = [peer(), peer("tower")]
        client = Client(homie_home)
        assert client.status() == STATUS
        assert [each.name for each in client.peers()] == ["desk", "tower"]


def test_peers_are_added_and_removed_by_any_name(homie_home: Path) -> None:
    with FakeDaemon(homie_home) as daemon:
        client = Client(homie_home)
        assert client.add_peer("10.0.0.5", 5556).id == DESK
        client.remove_peer("10.0.0.5:5556")
        client.remove_peer("odd/name?x")
        assert daemon.asked == [
            AddPeer(host="10.0.0.5", port=5556),
            ("remove", "10.0.0.5:5556"),
            ("remove", "odd/name?x"),
        ]


def test_a_run_is_told_to_its_end_and_no_further(homie_home: Path) -> None:
    with FakeDaemon(homie_home) as daemon:
        daemon.news = Story().placed().out(b"x" * 200_000).out(b"y" * 200_000).ended(3).out(b"after the end")
        news = list(Client(homie_home).run(request()))
        assert news == daemon.news[:-1]
        assert daemon.asked == [request()]


def test_following_starts_after_a_record(homie_home: Path) -> None:
    with FakeDaemon(homie_home) as daemon:
        daemon.news = Story().placed().out(b"one").out(b"two").ended()
        news = list(Client(homie_home).follow(JOB, 3, Path("/tmp/a folder")))
        assert [each.record.seq for each in news if isinstance(each, JobEvent)] == [4, 5]
        assert daemon.asked == [("follow", JOB, 3, "/tmp/a folder")]


def test_closing_early_hangs_up(homie_home: Path) -> None:
    with FakeDaemon(homie_home) as daemon:
        daemon.news, daemon.after_stop = Story().placed().out(b"x"), Story().ended()
        news = Client(homie_home).run(request())
        next(news)
        news.close()  # type: ignore[attr-defined]
        assert daemon.hung_up.wait(10)
        assert ("stop", JOB) not in daemon.asked


def test_a_stream_that_breaks_off_is_no_end(homie_home: Path) -> None:
    with FakeDaemon(homie_home) as daemon:
        daemon.news = Story().placed().out(b"x")
        with pytest.raises(DaemonUnreachable, match=r"mid-sentence.*daemon\.log"):
            list(Client(homie_home).run(request()))


def test_a_refusal_inside_the_stream_is_its_last_news(homie_home: Path) -> None:
    refused = Refused(error="NoPeer", message="nobody is there")
    with FakeDaemon(homie_home) as daemon:
        daemon.news = [refused, *Story().placed()]
        assert list(Client(homie_home).run(request())) == [refused]


def test_a_refusal_is_raised_as_the_error_that_it_names(homie_home: Path) -> None:
    with FakeDaemon(homie_home) as daemon:
        client = Client(homie_home)
        daemon.refuse = Refused(error="NoPeer", message="nobody has a GPU")
        with pytest.raises(NoPeer, match="nobody has a GPU"):
            client.stop(JOB)
        daemon.refuse = Refused(error="UnsafeName", message="unsafe file name '../x': it climbs")
        with pytest.raises(UnsafeName, match=r"unsafe file name '\.\./x': it climbs"):
            list(client.run(request()))


def test_an_answer_of_another_version_is_no_traceback(homie_home: Path) -> None:
    with FakeDaemon(homie_home), pytest.raises(BadMessage, match=r"404 .*another version"):
        Client(homie_home)._ask("GET", "/v9/status")


def test_no_daemon_says_how_to_start_it(homie_home: Path) -> None:
    client = Client(homie_home)
    assert not client.running()
    with pytest.raises(DaemonUnreachable, match="homie up"):
        client.status()
    with pytest.raises(DaemonUnreachable, match="homie up"):
        next(client.run(request()))


def test_a_socket_path_that_is_too_long_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="HOMIE_HOME"):
        Client(tmp_path / ("x" * 100))


def test_job_ids_are_random_and_of_their_type() -> None:
    ids = {new_job_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(len(each) == 12 and int(each, 16) >= 0 for each in ids)
