"""Kill runs and corrupt caches: the parts that scripts/torture.py and the tests share."""
