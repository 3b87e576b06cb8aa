"""Tables of finished runs and comparisons."""
