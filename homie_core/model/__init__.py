"""The nouns of Homie: frozen, typed, bounded; the same types travel on the wire and inwards.

peer.py      who is there and what they offer     job.py     what is asked, allowed, and how it ended
event.py     what happened to a job, numbered     control.py what front ends and their daemon say
names.py     ids and safe file names              quantity.py sizes and durations as people write them
wire.py      bytes to types and back              errors.py  what a person must read
"""
