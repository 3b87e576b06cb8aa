"""Exporters: write results of a finished run for use elsewhere."""
