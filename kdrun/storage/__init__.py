"""Files of kdrun: cache, checkpoints, ledger, hashes."""
