"""Task types, predictions and metrics."""
