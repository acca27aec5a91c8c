"""`homie run --dry-run` names every byte that would leave, and none does."""

import re

import pytest
from pair import Pair
from recording import Recording

pytestmark = pytest.mark.docker


def test_what_is_named_is_what_then_leaves(base_image: str, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("import sys\nprint(len(sys.argv))\n")
    (tmp_path / "data").mkdir()
    for name, content in (("a.csv", "1,2\n"), ("b.csv", "3,4\n" * 100_000), ("same.csv", "1,2\n")):
        (tmp_path / "data" / name).write_text(content)
    pair = Pair(desk={"container_cpu_limit": "1"})
    recording = Recording(pair.laptop, tmp_path)
    with pair:
        line = ["run", "--dry-run", "-f", "data/*.csv", "--cpus", "0.5", "train.py", "--rate", "ü"]
        recording.clear()
        said = pair.laptop.homie(*line).stdout
        assert recording.sent() == []
        assert said.startswith("to desk: ")
        refused = pair.laptop.homie(*line[:4], "--cpus", "64", "train.py", check=False)
        assert "desk: lends a job at most 1 cores" in refused.stderr

        line.remove("--dry-run")
        assert pair.laptop.homie(*line).stdout == "3\n"
        sent = recording.sent()
    named = {
        what: int(size.replace(" ", "")) for size, what in re.findall(r"^ *([\d ]+) bytes  (.*)$", said, re.M)
    }
    request, together = (
        named.pop("the request: what is asked for, arguments, names and digests of files"),
        named.pop("together"),
    )
    assert named == {
        "train.py": 32,
        "data/a.csv": 4,
        "data/b.csv": 400_000,
        "data/same.csv (the same as another file)": 0,
    }
    assert [each["length"] for each in sent if each["path"] == "/jobs"] == [request]
    assert sum(each["length"] for each in sent if "/inputs/" in each["path"]) == sum(named.values())
    assert sum(each["length"] for each in sent if each["path"] != "told") == together
    assert not any(each["length"] for each in sent if not re.fullmatch("/jobs|/jobs/.*/inputs/.*", each["path"]))
