"""Completion behind the magics, as a kernel answers a front end."""

import pytest
from local_kernel import LocalKernel

pytestmark = [
    pytest.mark.docker,
    # jupyter_client on its way to a new event loop policy; nothing of ours
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
]


@pytest.fixture
def completes(kernel: LocalKernel):
    """`completes(text)`: what is offered at the end of the text, or where a | is."""

    def completes(text):
        at = text.find("|") if "|" in text else len(text)
        text = text.replace("|", "")
        reply = kernel.client.complete(text, at, reply=True, timeout=20)["content"]
        begun = text[reply["cursor_start"] : at]
        assert all(match.startswith(begun) for match in reply["matches"]), "what is typed is replaced"
        return reply["matches"]

    return completes


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("%%homie --no", ["--node"]),
        ("%%homie --fresh --tim", ["--timeout"]),
        ("%%homie -n d", ["desk"]),
        ("%%homie --node ", ["desk"]),
        ("%%homie --no|\nx = 1", ["--node"]),
        ("%homie why --fre", ["--fresh"]),
        ("%homie tr", ["trust"]),
        ("%homie trust d", ["desk"]),
        ("%homie use cho", ["chosen"]),
        ("%%homie -s ch", ["chosen"]),
        ("%%homie -i my_val", ["my_value"]),
        ("%%homie -i my_value,my_o", ["my_other"]),
        ("%homie push my_o", ["my_other"]),
        ("x = %homie pe", ["peers"]),
    ],
)
def test_it_offers(kernel: LocalKernel, completes, typed, offered):
    kernel.run("my_value = my_other = 1")
    kernel.run("%%homie -s chosen\npass")
    assert completes(typed) == offered


def test_bodies_of_cells_are_completed_as_ever(kernel: LocalKernel, completes):
    kernel.run("my_value = 1\nimport os")
    plain = completes("os.path.exi")
    assert plain
    assert completes("%%homie -n desk\nos.path.exi") == plain
    assert "my_value" in completes("%%homie\nmy_va")
    assert "--node" not in completes("%%homie\nx = 1\n--no")


def test_an_option_that_is_none_is_told_with_what_was_meant(kernel: LocalKernel):
    ran = kernel.run("%%homie --tmeout 3\npass", fine=False)
    assert "did you mean --timeout?" in ran.stream("stderr")


def test_nothing_is_left_after_it_is_unloaded(kernel: LocalKernel, completes):
    kernel.run("%unload_ext homie_jupyter")
    try:
        assert completes("%%homie --no") == []
        assert kernel.run("[name for name in dir(get_ipython()) if 'homie' in name]").results == ["[]"]
        assert "homie" not in str(kernel.run("get_ipython().input_transformer_manager.cleanup_transforms").results)
        assert kernel.run("%homie", fine=False).status == "error"
    finally:
        kernel.run("%load_ext homie_jupyter")


def test_defaults_are_configured_and_a_cells_own_options_count_more(kernel: LocalKernel):
    kernel.run("%config Homie.quiet = True")
    kernel.run("%config Homie.node = 'nobody'")
    try:
        assert "no peer is called nobody" in kernel.run("%%homie -s another\npass", fine=False).stream("stderr")
        ran = kernel.run("%%homie -n desk\nprint(1)")
        assert ran.stream() == "1\n"
        assert not ran.contents("display_data"), "it is quiet"
        assert "Homie.timeout" in kernel.run("%config Homie").stream()
    finally:
        kernel.run("%config Homie.quiet = False")
        kernel.run("%config Homie.node = ''")
