"""Teachers, students and generators: loaded from a folder or the hub, built from sizes, or cut from another model."""
