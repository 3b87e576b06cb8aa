"""Fine-tune a teacher and cache its outputs."""
