"""Sources of task rows: embedded, folder, hub, generated text."""
