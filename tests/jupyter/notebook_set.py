"""Small notebooks of many kinds of output, each a list of cells; all of them are run here and over there.

A notebook names the packages it imports beyond IPython in PACKAGES. Nothing in one depends on the clock, on
chance, or on the line numbers of the standard library.
"""

from notebook_runs import Cell

Cells = list[str | Cell]

TEXT: dict[str, Cells] = {
    "stdout and stderr": [
        """
import sys
for step in range(5):
    print("out", step)
    print("err", step, file=sys.stderr)
""",
        "sys.stdout.write('no end of line')",
        "print('flushed', flush=True); print('empty:', end=''); print()",
    ],
    "unicode": [
        "print('Grüße, 世界, 🎉, \\u202eright to left\\u202c, e\\u0301, \\x00, \\x1b[31mred\\x1b[0m')",
        "'🎉' * 3",
    ],
    "long lines": ["print('x' * 200_000)", "print(list(range(20_000)))"],
    "many lines": ["for number in range(10_000):\n    print('line', number)"],
    "many small writes": ["for number in range(3_000):\n    print(number, end=' ', flush=number % 100 == 0)"],
    "carriage returns": [
        """
for percent in range(0, 101, 10):
    print(f"\\r{percent:3d} %", end="")
print("\\nab\\b\\bcd\\r\\n")
"""
    ],
    "errors": [
        Cell("print('before')\n1 / 0\nprint('never')", fails=True),
        "print('goes on')",
        Cell(
            """
class Broken(Exception):
    def __str__(self):
        return "two\\nlines"

def outer():
    try:
        return {}["missing"]
    except KeyError as error:
        raise Broken from error

outer()
""",
            fails=True,
        ),
        Cell("raise ExceptionGroup('several', [ValueError(1), TypeError('two')])", fails=True),
        Cell("assert False, 'a reason'", fails=True),
    ],
    "syntax errors": [
        Cell("print('never'\nx = 1", fails=True),
        Cell("if True:\nprint(1)", fails=True),
        Cell("%no_such_magic", fails=True),
        Cell("return 1", fails=True),
    ],
    "an exception that cannot be shown": [
        Cell(
            """
class Unshowable(Exception):
    def __str__(self):
        raise RuntimeError("not even its text")

raise Unshowable
""",
            fails=True,
        )
    ],
    # How much of its traceback is shown depends on how deep the kernel stood before.
    "deep recursion": [
        "def deeper():\n    deeper()\n\ntry:\n    deeper()\nexcept RecursionError as error:\n    print(error)",
        "print('lives')",
    ],
    "sys.exit": [Cell("import sys\nsys.exit(3)", fails=True), "print('lives')"],
    "warnings": [
        """
import warnings
warnings.warn("look out")
warnings.warn("old", DeprecationWarning)
"""
    ],
    "logging": [
        """
import logging
logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level="INFO")
logging.getLogger("mine").info("one")
logging.warning("two")
logging.debug("never")
"""
    ],
    "shell": [
        "!echo out; echo err >&2; exit 3",
        "print(_exit_code)",
        "lines = !printf 'a\\nb\\n'\nlines",
        "%%sh\necho $((6 * 7))",
        Cell("%%bash\necho before\nexit 4", fails=True),
    ],
    "magics": [
        "x, name = 3, 'me'",
        "%who",
        "%whos int",
        "%time sum(range(1000))",
        "%timeit -n 2 -r 2 pass",
        "%%time\nprint('timed')",
        "%%capture caught\nprint('hidden')\n'result'",
        "caught.stdout",
        "%alias_magic again time",
        "%precision 3\n3.14159265",
        "%pdef print",
        "%%writefile note.txt\nwritten",
        "print(open('note.txt').read())",
    ],
    "state": [
        """
import dataclasses

@dataclasses.dataclass
class Point:
    x: int
    y: int = 0

def counter():
    count = 0
    def step():
        nonlocal count
        count += 1
        return count
    return step
""",
        "step = counter()\nstep(), step()",
        "step(), Point(step())",
        "def numbers():\n    yield from range(3)\n\nstream = numbers()\nnext(stream)",
        "list(stream)",
        "import pickle\npickle.loads(pickle.dumps(Point(1, 2))) == Point(1, 2), Point.__module__, __name__",
        "del step\n'step' in globals()",
    ],
    "results": [
        "1",
        "None",
        "2;",
        "_",
        "_ + 1",
        "Out[max(Out)], len(Out)",
        "'a string', b'bytes', 1.5, {1: [2, {3}]}, ...",
        "x = 5\nx",
        "x\nx + 1",
        "[number ** 2 for number in range(100)]",
        "object()",
        "print",
        "lambda: 0",
        "{'key ' * 5 + str(number): 'value ' * 8 for number in range(6)}",
        "print('printed')\n'and returned'",
        "_ih[-1], _i",
    ],
    "helpers of IPython": [
        "len?",
        "In[-2]",
        "%load_ext autoreload\n%autoreload 0",
    ],
    "what the next cell shall be": ["get_ipython().set_next_input('x = 1')", "%load note.py"],
}
TEXT["what the next cell shall be"].insert(0, "%%writefile note.py\nprint('loaded')")

RICH: dict[str, Cells] = {
    "html": [
        "from IPython.display import HTML, display\nHTML('<b>bold</b> <i>italic</i>')",
        "%%html\n<table><tr><td>1</td></tr></table>",
        "%%html\n<script>1 + 1</script>",
        "display(HTML('<p>one</p>'), HTML('<p>two</p>'), 3)",
    ],
    "markdown, latex, mathematics": [
        "from IPython.display import Latex, Markdown, Math\nMarkdown('# Title\\n*text* `code`')",
        "Latex(r'\\\\begin{equation}x^2\\\\end{equation}')",
        "Math(r'\\\\frac{1}{2}')",
        "%%markdown\n- one\n- two",
        "%%latex\n$x$",
    ],
    "svg": [
        'from IPython.display import SVG\nSVG(\'<svg xmlns="http://www.w3.org/2000/svg"><circle r="5"/></svg>\')',
        '%%svg\n<svg xmlns="http://www.w3.org/2000/svg"><rect width="5" height="5"/></svg>',
    ],
    "png and jpeg": [
        """
import base64
from IPython.display import Image
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAIAAAB7QOjdAAAAD0lEQVR4nGP4z8AARP8BBwAB/1NSkA4AAAAASUVORK5CYII="
)
Image(PNG, width=20)
""",
        "Image(b'\\xff\\xd8\\xff\\xe0' + bytes(2000), format='jpeg')",
        "display(Image(PNG), metadata={'image/png': {'width': 7}})",
    ],
    "json and others": [
        "from IPython.display import JSON, Code, Pretty\nJSON({'a': [1, 2, {'b': None}]}, expanded=True)",
        "Pretty('pretty')",
        "Code('x = 1', language='python')",
    ],
    "objects that know how they look": [
        """
class Both:
    def _repr_html_(self):
        return "<b>html</b>"
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": "bundle", "text/markdown": "*bundle*"}, {"text/markdown": {"of": "mine"}}

class Fails:
    def _repr_html_(self):
        raise ValueError("cannot")
    def __repr__(self):
        return "plain"

class Draws:
    def _ipython_display_(self):
        print("draws itself")
""",
        "Both()",
        Cell("Fails()", fails=True),
        "Draws()",
        "display(Both(), Draws())",
    ],
    "displays that change": [
        "from IPython.display import display, update_display\nhandle = display('one', display_id=True)",
        "handle.update('two')",
        "display('named', display_id='mine')\ndisplay('named', display_id='mine')",
        "update_display('renamed', display_id='mine')\nprint('changed')",
        "for step in range(3):\n    handle.update(step)",
    ],
    "clear_output": [
        "from IPython.display import clear_output\nprint('gone')\nclear_output()\nprint('stays')",
        "for step in range(3):\n    clear_output(wait=True)\n    print('step', step)",
        "display(1)\nprint('gone')\nclear_output()",
        "print('stays')\nclear_output(wait=True)",
        Cell("print('gone')\nclear_output(wait=True)\n1 / 0", fails=True),
        "print('gone')\nclear_output(wait=True)\n'result'",
    ],
    "questions": [
        Cell("name = input('Who? ')\nprint('hello', name)", answers=("me",)),
        Cell("import getpass\nlen(getpass.getpass('Secret: '))", answers=("12345",)),
        Cell("print('before', input() + input('again '))", answers=("a", "ü")),
        Cell("for number in range(3):\n    print(input(f'{number}? '))", answers=("x", "", "z")),
    ],
    "threads": [
        """
import threading
begun, go = threading.Event(), threading.Event()

def late():
    print("begins")
    begun.set()
    go.wait()
    print("ends later")
    display("shown later")

thread = threading.Thread(target=late)
thread.start()
begun.wait()
print("the cell is over")
""",
        "print('meanwhile')\ngo.set()\nthread.join()",
        """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor() as pool:
    print(sum(pool.map(abs, range(9))))
""",
    ],
    "asyncio": [
        "import asyncio\nawait asyncio.sleep(0.01)\nprint('waited')",
        "await asyncio.gather(*(asyncio.sleep(0, number) for number in range(3)))",
        """
go = asyncio.Event()

async def late():
    await go.wait()
    print("ends later")

task = asyncio.create_task(late())
print("the cell is over")
""",
        "go.set()\nawait task",
        Cell("async def fails():\n    raise ValueError('awaited')\n\nawait fails()", fails=True),
        "async with asyncio.timeout(1):\n    print('in time')",
    ],
    "large outputs": [
        "'x' * 3_000_000",
        "from IPython.display import HTML\nHTML('<p>' + 'y' * 2_000_000 + '</p>')",
    ],
    "many displays": ["for number in range(300):\n    display({'text/plain': str(number)}, raw=True)"],
}
TRUSTED: dict[str, Cells] = {
    "javascript": ["from IPython.display import Javascript, display_javascript\nJavascript('1 + 1')"],
    "a kind of one's own": [
        "display({'application/x-own+json': {'a': 1}, 'text/plain': 'own'}, raw=True)",
    ],
    "a comm of one's own": [
        """
from comm import create_comm
mine = create_comm(target_name="mine", data={"opened": 1})
mine.send({"sent": [1, 2]})
""",
        "mine.close({'closed': True})",
    ],
}
"""What comes through only of a peer that is trusted: see docs/security.md."""

LIBRARIES: dict[str, Cells] = {
    "matplotlib": [
        "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])",
        "for number in range(2):\n    plt.figure(figsize=(2, 1))\n    plt.bar([1, 2], [number, 2])",
        "figure, axes = plt.subplots(figsize=(2, 1))\naxes.set_title('title')\nplt.close()\nfigure",
        "plt.plot([1, 2]);\nplt.show()\nprint('after')",
    ],
    "matplotlib as svg": [
        """
%config InlineBackend.figure_formats = ['svg']
%config InlineBackend.print_figure_kwargs = {'metadata': {'Date': None}}
""",
        """
import matplotlib.pyplot as plt
plt.rcParams["svg.hashsalt"] = "fixed"
plt.figure(figsize=(2, 1))
plt.plot([1, 3, 2])
""",
    ],
    "pandas": [
        "import pandas as pd\nframe = pd.DataFrame({'a': [1, 2], 'b': ['x', '<y>']}, index=['one', 'two'])\nframe",
        "frame.a, frame.describe()",
        "frame['a']",
        "pd.DataFrame({'n': range(500)})",
        "frame.style.highlight_max('a').set_uuid('fixed')",
        "pd.Timestamp('2024-02-29'), pd.NA",
    ],
    "tqdm": [
        """
from tqdm import tqdm
for step in tqdm(range(3), bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt}", ncols=40, mininterval=0, miniters=1):
    print("step", step)
"""
    ],
    "tqdm in a notebook": [
        """
from tqdm.notebook import tqdm
total = 0
for step in tqdm(range(3), desc="steps", bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt}"):
    total += step
total
"""
    ],
    "rich": [
        "from rich import print as show\nshow('[bold red]hello[/] {}', {'a': 1})",
        """
from rich.console import Console
from rich.table import Table
table = Table("name", "value", title="Table")
table.add_row("one", "[green]1[/]")
Console(width=60).print(table)
""",
        "table",
        """
from rich.progress import BarColumn, Progress, TextColumn
with Progress(TextColumn("{task.description}"), BarColumn(), auto_refresh=False) as progress:
    for _ in progress.track(range(3), description="work"):
        progress.refresh()
""",
    ],
    "sympy": ["import sympy\nx = sympy.Symbol('x')\nsympy.Integral(x ** 2, x)", "sympy.Matrix([[1, x], [x, 2]])"],
    "widgets": [
        """
import ipywidgets as widgets
slider = widgets.IntSlider(value=3, description="n")
slider
""",
        "slider.value = 7\nslider.observe(lambda change: print('now', change.new), 'value')",
        "slider.value = 8",
        """
button = widgets.Button(description="Go")
button.on_click(lambda _: print("pressed"))
widgets.HBox([slider, button])
""",
        "button.click()",
        "bar = widgets.IntProgress(max=3)\ndisplay(bar)\nfor step in range(4):\n    bar.value = step",
        "widgets.Text('a'), widgets.Dropdown(options=['x', 'y'])",
        "slider.close()",
    ],
    "widgets that hold outputs": [
        """
import ipywidgets as widgets
held = widgets.Output()
with held:
    print("inside")
    display("shown inside")
held
""",
        "with held:\n    print('more')",
        "@widgets.interact(n=(0, 5), word=['a', 'b'])\ndef show(n=2, word='b'):\n    print(word * n)",
        "held.clear_output()\nheld.append_stdout('appended')",
        "@held.capture(clear_output=True)\ndef caught():\n    print('captured')\n\ncaught()",
    ],
}

NOTEBOOKS = TEXT | RICH | LIBRARIES
