"""Which variables a cell needs, and which it makes, as far as its text tells, also inside `%%time` and the like.

What may be read before the cell has bound it counts as needed: sending too much costs time, sending too little
costs the cell. Loops are taken to run at least once.
"""

import ast
import symtable
from collections.abc import Iterable
from typing import NamedTuple

from homie_jupyter.magic_code import code_in, python_of


class Symbols(NamedTuple):
    """Names of variables, in the order of the cell's statements."""

    reads: tuple[str, ...]
    """Needed from outside, or built in."""
    makes: tuple[str, ...]
    """Bound by it, but for what it defines."""
    changes: tuple[str, ...] = ()
    """Not bound by it, but given other items or attributes (`frame["sum"] = ...`)."""
    defines: tuple[str, ...] = ()
    """Functions, classes and imports, which are never data."""


def symbols(code: str) -> Symbols:
    """Return what this cell reads and makes; nothing for what is no Python: its error is the kernel's to tell."""
    walk = _Walk()
    try:
        walk.block(ast.parse(python_of(code)).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last of parentheses nested too deep
        return Symbols((), ())
    made = {*walk.makes, *walk.defines}
    return Symbols(
        tuple(walk.reads),
        tuple(name for name in walk.makes if name not in walk.defines),
        tuple(name for name in walk.changes if name not in made),
        tuple(walk.defines),
    )


class _Walk:
    """Follows the statements of a cell in the order in which they run."""

    def __init__(self) -> None:
        self.reads: dict[str, None] = {}
        self.makes: dict[str, None] = {}
        self.changes: dict[str, None] = {}
        self.defines: dict[str, None] = {}
        self._bound: set[str] = set()
        """Names that the cell itself has bound, here."""

    def block(self, statements: Iterable[ast.stmt]) -> None:
        """Follow these statements."""
        for statement in statements:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                self._look(value)
                for target in targets:
                    self._assign(target)
            case ast.AugAssign(target=target, value=value):
                self._look(value)
                self._look(target)
                self._assign(target)
            case ast.AnnAssign(target=target, annotation=annotation, value=value):
                self._look(annotation, *([value] if value else []))
                if value:
                    self._assign(target)
            case ast.For() | ast.AsyncFor():
                self._look(node.iter)
                self._assign(node.target)
                self.block(node.body)
                self.block(node.orelse)
            case ast.While(test=test, body=body, orelse=orelse):
                self._look(test)
                self.block(body)
                self.block(orelse)
            case ast.If(test=test, body=body, orelse=orelse):
                self._look(test)
                self._either([body, orelse])
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    self._look(item.context_expr)
                    if item.optional_vars:
                        self._assign(item.optional_vars)
                self.block(node.body)
            case ast.Try() | ast.TryStar():
                self._try(node)
            case ast.Match(subject=subject, cases=cases):
                self._look(subject)
                self._cases(cases)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self._look(node)
                self._bind(node.name)
                self.defines.setdefault(node.name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                for each in names:
                    name = each.asname or each.name.partition(".")[0]
                    self._bind(name)
                    self.defines.setdefault(name)
            case ast.Delete(targets=targets):
                for target in targets:
                    self._look(target)
                    self._change(target)
                    if isinstance(target, ast.Name):
                        self._bound.discard(target.id)
                        self.makes.pop(target.id, None)
            case ast.Expr(value=value):
                self._look(value)
            case _:
                self._look(node)

    def _try(self, node: ast.Try | ast.TryStar) -> None:
        before = set(self._bound)
        self.block([*node.body, *node.orelse])
        after, self._bound = self._bound, before
        for handler in node.handlers:
            if handler.type:
                self._look(handler.type)
            if handler.name:
                self._bound.add(handler.name)  # it is gone afterwards
            self.block(handler.body)
        self._bound = after
        self.block(node.finalbody)

    def _cases(self, cases: list[ast.match_case]) -> None:
        for case in cases:
            for part in ast.walk(case.pattern):
                match part:
                    case ast.MatchValue(value=value) | ast.MatchClass(cls=value):
                        self._look(value)
                    case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                        self._bind(name)
                    case ast.MatchMapping(rest=str(name)):
                        self._bind(name)
            if case.guard:
                self._look(case.guard)
        self._either([case.body for case in cases] + [[]])

    def _either(self, branches: list[list[ast.stmt]]) -> None:
        """Follow branches of which one is taken: bound afterwards is what all of them bind."""
        before = set(self._bound)
        bound = []
        for branch in branches:
            self._bound = set(before)
            self.block(branch)
            bound.append(self._bound)
        self._bound = set.intersection(*bound)

    def _assign(self, target: ast.expr) -> None:
        for part in ast.walk(target):
            self._change(part)
            if isinstance(part, ast.Name):
                if isinstance(part.ctx, ast.Store):
                    self._bind(part.id)
                else:
                    self._read(part.id)  # `a[i] = 1` needs both

    def _change(self, target: ast.AST) -> None:
        """Note whose item or attribute this is, if it is one that is set or deleted."""
        if not isinstance(target, ast.Attribute | ast.Subscript) or isinstance(target.ctx, ast.Load):
            return
        whole: ast.expr = target
        while isinstance(whole, ast.Attribute | ast.Subscript):
            whole = whole.value
        if isinstance(whole, ast.Name):
            self.changes.setdefault(whole.id)

    def _look(self, *nodes: ast.AST) -> None:
        """Note what these nodes read, and bind on the way, with all functions and comprehensions in them."""
        for node in nodes:
            if isinstance(node, ast.expr):
                for part in ast.walk(node):
                    self.block(code_in(part))
            source = ast.unparse(node)
            own = getattr(node, "name", "")
            table = symtable.symtable(source, "<cell>", "exec")
            for symbol in table.get_symbols():
                if symbol.is_referenced():  # even its own name, as in `def f(x=f)`
                    self._read(symbol.get_name())
            for name in [symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned()]:
                if name != own:
                    self._bind(name)
            for child in table.get_children():
                self._inside(child, own)

    def _inside(self, table: symtable.SymbolTable, own: str) -> None:
        for symbol in table.get_symbols():
            name = symbol.get_name()
            if isinstance(table, symtable.Class) and symbol.is_local() and symbol.is_referenced():
                self._read(name)  # `class K: x = x` reads the cell's x, if it has none of its own yet
            if not symbol.is_global() or name == own:
                continue
            if symbol.is_referenced():
                self._read(name)
            if symbol.is_assigned():
                self._bind(name)
        for child in table.get_children():
            self._inside(child, own)

    def _read(self, name: str) -> None:
        if name not in self._bound:
            self.reads.setdefault(name)

    def _bind(self, name: str) -> None:
        self._bound.add(name)
        self.makes.setdefault(name)
