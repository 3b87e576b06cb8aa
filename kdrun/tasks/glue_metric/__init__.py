"""The same metrics as a Hugging Face `evaluate` metric."""
