"""Version of kdrun."""

__version__ = "0.2.0"
