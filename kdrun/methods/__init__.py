"""Distillation methods: one module per method."""
