"""Our program inside every sandbox: starts the job's program, and hands over what it says without losing any.

__main__.py  the loop between host, program and spool
child.py     the job's program, its pipes, and whatever it leaves behind
spool.py     records on disk until the host has them
frames.py    what host and runner say to each other; the host uses it too
cell.py      runs one notebook cell

Standard library only, Python 3.11 or newer, and few imports: each of them is paid at the start of every job.
"""
