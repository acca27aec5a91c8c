"""How long Homie takes, always beside something that everybody knows, in the same run on the same machine.

pairs.py    measure two things in turn and compare     startup.py   the command line
jobs.py     a job against docker run                   transfer.py  files against scp
idle.py     a daemon that has nothing to do, against what is promised
"""
