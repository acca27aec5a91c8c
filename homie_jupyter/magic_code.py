"""The code in magics and shell commands, as IPython rewrites them: `%time f(x)`, `!ls {folder}`."""

import ast
import re
from contextlib import suppress

from IPython.core.inputtransformer2 import TransformerManager

_OPTIONS = re.compile(r"\s*(?:-[nrp]\s*\d+\s+|-[tcqov]+\s+)*")
"""Of `%timeit`; `%time` and `%%capture` have none that could be taken for code."""
_EXPANDED = re.compile(r"\{([^{}]+)\}|\$(\w+)")
"""What IPython fills in behind `!` and magics."""


def python_of(cell: str) -> str:
    """Return the Python that IPython makes of a cell."""
    return TransformerManager().transform_cell(cell)  # the shell's own may send the cell to a peer


def code_in(node: ast.AST) -> list[ast.stmt]:
    """Return the statements that this call runs or fills in, if it is one of a magic or of the system's shell."""
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=method), args=arguments
        ):
            texts = [each.value for each in arguments if isinstance(each, ast.Constant)]
        case _:
            return []
    match method, texts:
        case "run_cell_magic", ["timeit", str(setup), str(body)]:
            return _parsed(setup[_end_of_options(setup) :]) + _parsed(body)
        case "run_cell_magic", ["time" | "capture", _, str(body)]:
            return _parsed(body)
        case "run_line_magic", ["time" | "timeit", str(line)]:
            return _parsed(line[_end_of_options(line) :])
        case ("run_line_magic", [_, str(line)]) | ("system" | "getoutput", [str(line)]):
            return [each for words in _EXPANDED.findall(line) for each in _parsed("".join(words))]
    return []


def _end_of_options(line: str) -> int:
    match = _OPTIONS.match(line)
    return match.end() if match else 0


def _parsed(code: str) -> list[ast.stmt]:
    with suppress(SyntaxError, ValueError):  # that is the kernel's to tell, or it is no code: `awk '{print $1}'`
        return ast.parse(python_of(code)).body
    return []
