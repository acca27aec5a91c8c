"""Where a cell would go and why (`%homie why`), and what would leave this machine (`--dry-run`); nothing does."""

from collections.abc import Iterator

from homie_core.client.files import Chosen, chosen
from homie_core.client.leaving import Leaving, in_words, leaving_with, printable, where_in_words
from homie_core.client.session import cell_message
from homie_core.client.values import Packed
from homie_core.model.job import FileRef
from homie_core.model.names import Digest
from homie_core.model.quantity import show_size
from homie_core.model.session import Place
from homie_core.model.wire import encode
from homie_core.runner.parcel import bundle
from homie_jupyter.notebook import Notebook
from homie_jupyter.options import Options
from homie_jupyter.variables import values_to_send, wish_for

_DIGEST = Digest(64 * "0")


def dry_run(code: str, options: Options, notebook: Notebook) -> str:
    """Return where this cell would go and what would leave this machine, in words. Raises HomieError."""
    session = notebook.open_for(options)
    packed = Packed(values_to_send(options.inputs, notebook.variables, session))
    if session is not None:
        notebook.check(session, options)
    name = notebook.name_for(options) if session is None else session.name
    left_open = None if session or options.fresh else notebook.left_open().get(name)
    notes: list[str] = []
    if where := session or left_open:
        lines = [f"to {where.peer}: the session {name} is open there"]
        leaves = list(_files(chosen(options.files, notes.append)))
        trusted = any(peer.trusted and peer.name == where.peer for peer in notebook.client().peers())
    else:
        plan = notebook.client().plan(notebook.request_for(name, options, notes.append))
        lines, leaves, trusted = where_in_words(plan), leaving_with(plan), plan.takes[0].trusted
    leaves += _cell(code, options, notebook, packed, trusted)
    return in_words([*lines, *(f"left out {note}" for note in notes)], leaves)


def why(options: Options, notebook: Notebook) -> str:
    """Return where the next cell with these options would go and why, and who could not take it.

    For a session that is open: why it was opened there. Raises HomieError.
    """
    if session := notebook.open_for(options):
        notebook.check(session, options)
        return printable([f"to {session.peer}: the session {session.name} is open there ({session.why})"])
    name = notebook.name_for(options)
    if not options.fresh and (left_open := notebook.left_open().get(name)):
        return f"to {left_open.peer}: the session {name} is open there, left by an earlier kernel"
    plan = notebook.client().plan(notebook.request_for(name, options, lambda _: None))
    return printable(where_in_words(plan))


def _files(files: tuple[Chosen, ...]) -> Iterator[Leaving]:
    if files:
        refs = tuple(FileRef(name=file.name, digest=_DIGEST, size=file.size) for file in files)
        yield Leaving("names and digests of files, twice", 2 * len(encode(Place(files=refs))))
    for file in files:
        yield Leaving(f"{file.name}, unless it is there already", file.size)


def _cell(code: str, options: Options, notebook: Notebook, packed: Packed, trusted: bool) -> Iterator[Leaving]:
    wishes = wish_for(options, packed, "0" * 16 if packed.is_large else None, trusted)
    publisher = notebook.publisher
    message = cell_message(code, publisher.new_header(), publisher.takes_input, wishes, [])
    if packed.names:
        alone = {name: Packed({name: notebook.variables[name]}).size for name in packed.names}
        names = ", ".join(f"{name} ({show_size(size)})" for name, size in alone.items())
        yield Leaving(f"the values of {names}", _size(packed))
    yield Leaving("the cell and its options", len(message))


def _size(packed: Packed) -> int:
    """Return the bytes of the values, as a parcel or in the cell's message."""
    if packed.is_large:
        return sum(len(view) for view in bundle(packed.buffers))
    return packed.size + 4 * len(packed.buffers)
