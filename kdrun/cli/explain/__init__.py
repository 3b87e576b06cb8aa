"""Cards that describe methods, tasks, losses, presets and keys."""
