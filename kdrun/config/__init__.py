"""Configuration of a run: sections, composition, overrides and validation."""
