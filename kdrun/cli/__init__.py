"""The `kdrun` command."""
