"""Exporters: what a finished run leaves for others to use."""
