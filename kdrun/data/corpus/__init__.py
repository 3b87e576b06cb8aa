"""General text: corpora, sentences and out-of-domain rows."""
