"""`python -m kdrun`."""

from kdrun.cli import main

main()
