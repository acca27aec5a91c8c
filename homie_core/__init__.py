"""Homie: run a script or a notebook cell on a friend's idle machine, and lend yours without fear."""

__version__ = "0.1.0"
