"""A teacher's answers in files: read, check, match with rows, write."""
