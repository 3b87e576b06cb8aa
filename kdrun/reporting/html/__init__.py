"""HTML reports of runs and comparisons, one file each."""
