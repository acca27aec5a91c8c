"""Our program inside every sandbox: starts the job's program, and hands over what it says without losing any.

__main__.py  the loop between host, program and spool
child.py     the job's program, its pipes, and whatever it leaves behind
spool.py     records on disk until the host has them
frames.py    what host and runner say to each other; the host uses it too
kernel.py    a live IPython kernel, the program of a session
messages.py  how its messages travel; the notebook outside uses it too
exchange.py  values into a session before a cell, and out of it afterwards
clock.py     a clock that goes on while the machine sleeps
parcel.py    values too large for a message, as a file
outgoing.py  files that a cell gives back, by patterns
values.py    values as data, on their way out of a session
files.py     files that come while a session runs
globs.py     patterns of files; who sends files uses it too

Standard library only (but for kernel.py), Python 3.11 or newer, and few imports: each is paid at the start of
every job.
"""
