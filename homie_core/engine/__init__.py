"""Decisions without I/O: what is heard goes in with the time, what is to be done comes out.

peers.py      who is alive                       placement.py  which peer takes my job
admission.py  which job may start here, and when lifecycle.py  the one table of a job's moves
"""
