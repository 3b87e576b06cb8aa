"""The rows of a task: sources, Arrow tables, tokens and the order of batches; and corpora of general text."""
