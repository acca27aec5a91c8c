"""How nodes meet and talk, and how front ends talk to their node.

discovery.py  heartbeats over UDP      seal.py   what makes them authentic and unreadable
tls.py        who is at the other end  server.py the peer API     link.py  calling a peer's API
control.py    the local API on a Unix socket
"""
