"""Use of a saved student: load it, predict with it, export it."""
