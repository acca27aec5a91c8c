"""What front ends (CLI, notebook) use to talk to their user's own daemon; needs only the standard library.

control.py  one method per request of the control API     start.py   start the daemon if it does not run
request.py  from a script or session and its files to a request
channel.py  the line to a session                session/   its cells           values/    what goes and comes back
files/      which files are meant                        leaving.py  what would leave this machine
interrupts.py  Ctrl-C: stop, then detach
job.py      what runs, as it is held                     transcript.py  what it prints
jobs.py     jobs that nobody waits for
words.py    how a job ended, in a sentence
safe_text.py  what a job wrote, made harmless for terminals
"""

from homie_core.client.control import Client
from homie_core.client.request import new_job_id, request_for_script, request_for_session, request_to_put
from homie_core.client.start import ensure_daemon, wait_for_peers, wait_until_gone

__all__ = [
    "Client",
    "ensure_daemon",
    "new_job_id",
    "request_for_script",
    "request_for_session",
    "request_to_put",
    "wait_for_peers",
    "wait_until_gone",
]
