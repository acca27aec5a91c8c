"""A Jupyter kernel whose code runs on a peer: `python -m homie_jupyter.kernel -f FILE --node desk`.

front.py      the five sockets of a kernel: requests in, replies and output out
relay.py      which request is told to the session when, and what becomes of it
opening.py    how a session begins, while requests wait
line.py       one session, as this kernel uses it        inbox.py    what other threads tell the main thread
publisher.py  output on its way to the front ends        replies.py  what a peer's reply may hold
info.py       what the kernel says of itself

Nothing runs here: without a peer a cell is an error. Output takes the same way as that of `%%homie`
(`homie_core.client.session`, `output`, `safe`).
"""
