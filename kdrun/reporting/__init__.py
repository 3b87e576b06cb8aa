"""Tables and HTML reports of finished runs, read from files alone."""
