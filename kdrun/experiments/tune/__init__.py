"""Search for the best values of config keys with Optuna."""
