"""Rules across sections of a composed config."""
