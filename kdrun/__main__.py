"""Entry point of `python -m kdrun`."""

from __future__ import annotations

from kdrun.cli.main import main

main()
