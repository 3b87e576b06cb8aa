"""All cases of bad input."""

from tests.integration.bad_inputs import configs, environment, files, run_folders

CASES = [*configs.CASES, *files.CASES, *run_folders.CASES, *environment.CASES]
