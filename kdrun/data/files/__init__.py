"""Own rows from files: formats, columns, labels, drawn splits."""
