"""Export generated text as a data set for other runs."""
