"""JupyterLab in a real Chromium, used as people use it: by its cells, buttons and menus.

    notebook = lab.open("%load_ext homie_jupyter", "%%homie\\nprint(1)")
    notebook.run_all()
    assert notebook.cell(2).done().text.startswith("1\\n")

Cells count from 1, as prompts do. Whatever waits, waits for a condition, and fails with a sentence.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

import nbformat
from lab_server import LabServer
from playwright.sync_api import ConsoleMessage, Locator, Page, expect
from playwright.sync_api import Error as PageError

KEPT = Path(os.environ.get("CI_ARTIFACTS") or Path(__file__).parents[2] / ".cache" / "test") / "screenshots"
"""Screenshots, and what the page and the server said when a test failed."""
WITHIN = 30_000.0
"""Milliseconds that JupyterLab gets for what it does by itself."""
expect.set_options(timeout=WITHIN)
CELL_WITHIN = 60_000.0
"""Milliseconds that a cell gets."""
COUNTED = re.compile(r"^\[\d+\]:$")
RUNNING = "[*]:"
NOISE = re.compile(
    "Could not restore the debugger state"  # after each restart of a kernel, debugger used or not
    r"|404 \(Not Found\) \(http://127\.0\.0\.1:\d+/lsp/status"  # it looks for language servers when it completes
    # Notebook 7.6, now and then while it loads
    r"|reading 'schema'[\s\S]*notebook_core|'filebrowser:open-path' not registered[\s\S]*notebook_core"
)
"""Errors that Jupyter makes of itself."""


class Lab:
    """One tab; `open` a notebook in it."""

    def __init__(self, page: Page, server: LabServer, name: str) -> None:
        self.page = page
        self.server = server
        self.name = name
        self.console: list[str] = []
        """All that the page has said, exceptions that nobody caught included."""
        self.errors: list[str] = []
        """What of it must not be."""
        page.set_default_timeout(WITHIN)
        page.on("console", self._said)
        page.on("pageerror", self._failed)

    def open(self, *cells: str, style: Literal["lab", "notebook"] = "lab", kernel: str = "python3") -> "Notebook":
        """Write a notebook with these code cells, open it in JupyterLab or Notebook 7, wait for its kernel."""
        metadata = {"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}}
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells], metadata=metadata
        )
        path = self.server.root / f"{self.name}.ipynb"
        nbformat.write(notebook, path)
        return Notebook(self, path, style).reopen()

    def screenshot(self, path: Path) -> None:
        """Save what the tab shows."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)

    def _said(self, message: ConsoleMessage) -> None:
        line = f"{message.type}: {message.text} ({message.location['url']})"
        self.console.append(line)
        if message.type == "error":
            self._erred(line)

    def _failed(self, error: PageError) -> None:
        self.console.append(line := f"not caught: {error}\n{error.stack}")
        self._erred(line)

    def _erred(self, line: str) -> None:
        if not NOISE.search(line):
            self.errors.append(line)


class Notebook:
    """An open notebook."""

    def __init__(self, lab: Lab, path: Path, style: str) -> None:
        self.path = path
        self._lab = lab
        self._page = lab.page
        self._style = style

    def cell(self, number: int) -> "Cell":
        """Return a code cell; they count from 1."""
        return Cell(self._page.locator(".jp-Notebook .jp-CodeCell").nth(number - 1), self._page)

    def run(self, number: int) -> "Cell":
        """Start a cell by the toolbar's button and return it."""
        cell = self.cell(number)
        cell.forget_prompt()
        cell.prompt.click()
        self._button("run").click()
        return cell

    def run_all(self) -> None:
        """Start every cell from the top, by the menu."""
        for cell in self._page.locator(".jp-Notebook .jp-CodeCell").all():
            Cell(cell, self._page).forget_prompt()
        self._menu("Run", "Run All Cells")

    def clear(self) -> None:
        """Clear all outputs, by the menu."""
        self._menu("Edit", "Clear Outputs of All Cells")

    def stop(self) -> None:
        """Press the stop button."""
        self._button("interrupt").click()

    def restart(self) -> Self:
        """Press the restart button, say yes, and wait for the new kernel."""
        with self._new_connection():
            self._button("restart").click()
            self._page.locator(".jp-Dialog .jp-mod-accept").click()
        return self

    def save(self) -> Self:
        """Save it, and wait until the file holds what is shown."""
        with self._page.expect_response(
            lambda answer: answer.request.method == "PUT" and self.path.name in answer.url
        ) as saved:
            self._page.keyboard.press("Control+s")
        assert saved.value.ok
        return self

    def reload(self) -> Self:
        """Reload the page; the kernel goes on."""
        with self._new_connection():
            self._page.reload()
        return self

    def reopen(self) -> Self:
        """Open the file anew, as somebody does who comes back later."""
        if self._style == "lab":
            url = self._lab.server.url(f"lab/workspaces/{self._lab.name}/tree/{self.path.name}", "reset")
        else:
            url = self._lab.server.url(f"notebooks/{self.path.name}")
        with self._new_connection():
            self._page.goto(url)
        return self

    def idle(self) -> Self:
        """Wait until the kernel has nothing to do."""
        indicator = self._page.locator(".jp-Notebook-ExecutionIndicator")
        expect(indicator, "the kernel is busy").to_have_attribute("data-status", "idle", timeout=CELL_WITHIN)
        return self

    def saved(self) -> nbformat.NotebookNode:
        """Return what the file holds."""
        return nbformat.read(self.path, as_version=4)

    @contextlib.contextmanager
    def _new_connection(self) -> Iterator[None]:
        """What is done within connects to the kernel; before, the page calls a kernel idle that is not there."""
        with self._page.expect_websocket(lambda socket: "/channels?" in socket.url):
            yield
        self.idle()

    def _button(self, name: str) -> Locator:
        return self._page.locator(f'.jp-NotebookPanel-toolbar [data-jp-item-name="{name}"] jp-button')

    def _menu(self, menu: str, item: str) -> None:
        self._page.get_by_role("menuitem", name=menu, exact=True).click()
        self._page.get_by_role("menuitem", name=item, exact=True).click()


class Cell:
    """A code cell as it is shown."""

    def __init__(self, node: Locator, page: Page) -> None:
        self.node = node
        self.prompt = node.locator(".jp-InputPrompt")
        self.output = node.locator(".jp-Cell-outputArea .jp-OutputArea-output:not(.jp-Stdin)")
        """One node for each output; for `expect(...)`."""
        self._page = page

    def done(self, within: float = CELL_WITHIN) -> Self:
        """Wait until it has ended, well or not: it has a number."""
        expect(self.prompt, "the cell has not ended").to_have_text(COUNTED, timeout=within)
        return self

    def shows(self, text: str | re.Pattern[str], within: float = CELL_WITHIN) -> Self:
        """Wait until its output holds this text, ended or not."""
        area = self.node.locator(".jp-Cell-outputArea")
        expect(area, "the output does not come").to_contain_text(text, timeout=within)
        return self

    @property
    def running(self) -> bool:
        """Whether it runs or waits to, as its prompt says."""
        return self.prompt.inner_text() == RUNNING

    @property
    def text(self) -> str:
        """All that its outputs show, as text."""
        return _joined(self.output)

    @property
    def red(self) -> str:
        """What it shows on red: JupyterLab marks errors and standard error alike."""
        marked = self.node.locator('.jp-Cell-outputArea [data-mime-type="application/vnd.jupyter.stderr"]')
        return _joined(marked)

    @property
    def html(self) -> str:
        """The markup of its outputs as it is in the page."""
        return "\n".join(node.inner_html() for node in self.output.all())

    @property
    def images(self) -> list[tuple[int, int]]:
        """Width and height of the pictures that it shows; 0 is one that could not be drawn."""
        sizes = "nodes => nodes.map(node => [node.naturalWidth, node.naturalHeight])"
        return [(width, height) for width, height in self.output.locator("img").evaluate_all(sizes)]

    def answer(self, text: str) -> None:
        """Type this where it asks for input, and Enter."""
        field = self.node.locator(".jp-Stdin-input")
        field.fill(text)
        field.press("Enter")

    def asks(self) -> str:
        """Wait until it asks for input and return the question."""
        question = self.node.locator(".jp-Stdin-prompt")
        expect(question, "the cell does not ask").to_be_visible(timeout=CELL_WITHIN)
        return question.inner_text()

    def write(self, source: str) -> Self:
        """Type this in the place of what the cell holds."""
        self.node.locator(".cm-content").click()
        self._page.keyboard.press("Control+a")
        self._page.keyboard.press("Delete")
        self._page.keyboard.insert_text(source)
        return self

    def completions(self) -> list[str]:
        """Press Tab behind what was typed, and return what is offered; by Escape it goes away again."""
        ready = self.node.locator(".jp-mod-completer-enabled")  # otherwise Tab indents
        expect(ready, "there is nothing to complete").to_be_visible()
        self._page.keyboard.press("Tab")
        box = self._page.locator(".jp-Completer:visible")
        expect(box, "nothing is offered").to_be_visible()
        offered = box.locator(".jp-Completer-match").all_inner_texts()
        self._page.keyboard.press("Escape")
        expect(box).to_have_count(0)
        return offered

    @property
    def source(self) -> str:
        """What it holds."""
        return "\n".join(self.node.locator(".cm-line").all_inner_texts())

    def click(self, button: str) -> None:
        """Press a button among its outputs."""
        self.output.get_by_role("button", name=button).click()

    def slide(self, steps: int) -> None:
        """Move its slider by so many steps, by the arrow keys."""
        handle = self.output.locator(".noUi-handle")
        handle.focus()
        for _ in range(abs(steps)):
            handle.press("ArrowRight" if steps > 0 else "ArrowLeft")

    def forget_prompt(self) -> None:
        """Blank the number that is shown: the one that comes is of the next run, even if it is the same."""
        self.prompt.evaluate("prompt => prompt.textContent = ''")


def _joined(outputs: Locator) -> str:
    """Their texts, each on lines of its own and none with an end of line too many."""
    return "\n".join(text.rstrip("\n") for text in outputs.all_inner_texts())
