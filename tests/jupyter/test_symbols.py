"""What a cell needs and makes, by its text."""

import pytest

from homie_jupyter.symbols import Symbols, symbols

CASES = [
    ("", "", ""),
    ("this is no Python", "", ""),
    ("a", "a", ""),
    ("b = a", "a", "b"),
    ("a = 1\nb = a", "", "a b"),
    ("a = a + 1", "a", "a"),
    ("a += 1", "a", "a"),
    ("a[i] = b", "b a i", ""),
    ("a.x = b", "b a", ""),
    ("a, (b, *c) = d", "d", "a b c"),
    ("a = b = c", "c", "a b"),
    ("a: T = b", "T b", "a"),
    ("a: T", "T", ""),
    ("del a", "a", ""),
    ("a = 1\ndel a\na", "a", ""),
    ("print(f'{a!r:{b}}')", "print a b", ""),
    ("(b := a)", "a", "b"),
    ("[y := x for x in xs]", "xs", "y"),
    ("[x + z for x in xs if x]", "xs z", ""),
    ("{k: v for k, v in d.items()}", "d", ""),
    ("lambda x, y=a: x + b", "a b", ""),
    ("for i in xs:\n    total = i\nelse:\n    n = m\nprint(total)", "xs m print", "i total n"),
    ("while a:\n    b = 1\nb", "a", "b"),
    ("with open(p) as f, g:\n    t = f.read()", "open p g", "f t"),
    ("if c:\n    x = 1\nx", "c x", "x"),
    ("if c:\n    x = 1\nelse:\n    x = 2\nx", "c", "x"),
    ("try:\n    x = a\nexcept E as e:\n    print(e)\nfinally:\n    z = y\nx", "a E print y", "x z"),
    ("try:\n    x = 1\nexcept E:\n    x\n", "E x", "x"),
    ("match v:\n    case K(p, q=r) if s: t = p\n    case [A.B, *rest]: pass\n    case {'k': m, **n}: pass",
     "v K s A", "p r rest m n t"),
    ("import numpy as np, os.path\nfrom a import b as c\nx = np.ones(3)", "", "x"),
    ("def f(x, y=a):\n    z = x\n    return z + b", "a b", ""),
    ("@d\ndef f(x: T) -> U:\n    return f(x)", "d T U", ""),
    ("def f(x=f):\n    return x", "f", ""),
    ("@d(f)\ndef f(): pass", "d f", ""),
    ("class K(K):\n    def f(self): return K", "K", ""),
    ("a = 1\ndef f():\n    return a", "", "a"),
    ("def f():\n    return a\na = 1", "a", "a"),
    ("def f():\n    global g\n    g = h", "h", "g"),
    ("def f():\n    x = 1\n    def g():\n        nonlocal x\n        x = y\n    return g", "y", ""),
    ("async def f():\n    async with a as b:\n        return [c async for c in b]", "a", ""),
    ("class K(L, metaclass=M):\n    x = y\n    def f(self): return x, z", "L M y x z", ""),
    ("class K:\n    x = x\n    y = 1", "x", ""),
    ("class K:\n    n = 1\n    def f(self): return self.n", "", ""),
    ("%%time\nb = a", "a get_ipython", "b"),
    ("%%time\n%%capture out\nx = !ls {a} $c\nprint(x)", "a c print get_ipython", "x"),
    ("%%timeit -n 10 -r3 b = a\nf(b)", "a f get_ipython", "b"),
    ("%timeit -n 10 f(x)", "f x get_ipython", ""),
    ("a = %time f(-n)", "f n get_ipython", "a"),
    ("!awk '{print $1}' {folder / 'x'} ${HOME}", "folder HOME get_ipython", ""),
    ("%cd {folder}\nx?", "folder get_ipython", ""),
    ("%%bash\necho {a}", "get_ipython", ""),
    ("await a", "a", ""),
    ("async for x in a:\n    y = x", "a", "x y"),
    ("assert a, b", "a b", ""),
    ("raise a from b", "a b", ""),
    ("a; b; a", "a b", ""),
    ("größe = länge", "länge", "größe"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "reads", "makes"), CASES)
def test_what_a_cell_reads_and_makes(code: str, reads: str, makes: str):
    found = symbols(code)
    assert (set(found.reads), set(found.makes)) == (set(reads.split()), set(makes.split()))


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("a[i] = b", "a"),
        ("a.loc[m, 'x'].y = b", "a"),
        ("a['x'] += 1", "a"),
        ("a, b[0], *c.d = e", "b c"),
        ("del a['x'], b", "a"),
        ("for a[0] in xs: pass", "a"),
        ("with x as a.y: pass", "a"),
        ("a = {}\na['x'] = 1", ""),
        ("import a\na.x = 1", ""),
        ("a().x = 1", ""),
        ("b = a['x']", ""),
    ],
)
def test_what_a_cell_changes(code: str, changes: str):
    assert set(symbols(code).changes) == set(changes.split())


def test_what_a_cell_defines_is_not_made():
    code = "import a.b, c as d\nfrom e import f\ndef g(): pass\nclass H: pass\nx = 1"
    assert symbols(code) == Symbols((), ("x",), defines=("a", "d", "f", "g", "H"))


def test_names_are_in_the_order_in_which_they_are_mentioned():
    assert symbols("z = b\na = c") == Symbols(("b", "c"), ("z", "a"))


@pytest.mark.parametrize(
    "code",
    [
        "nonlocal x",
        "y = z\ndef f(a, a): return z",
        "def f():\n    x = 1\n    global x",
        "[x for x in (y := xs)]",
        "a\0b",
        "(" * 10_000 + ")" * 10_000,
        "x = " + "+".join(["a"] * 600),
        "if a: pass\n" + "elif b: pass\n" * 1500,
    ],
)
def test_whose_symbols_cannot_be_told_is_left_to_the_kernel(code: str):
    assert symbols(code) == Symbols((), ())
