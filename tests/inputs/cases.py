"""All kinds of bad input that are tried."""

from tests.inputs import configs, files, folders, surroundings

CASES = [*configs.CASES, *files.CASES, *folders.CASES, *surroundings.CASES]
