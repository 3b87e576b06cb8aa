"""How a teacher is trained on several domains."""
