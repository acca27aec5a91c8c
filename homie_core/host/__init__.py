"""This machine as its owner knows it.

machine.py  cores, memory, network interfaces     gpu.py  NVIDIA cards
"""
