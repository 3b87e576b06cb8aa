"""Training of a teacher on several domains."""
