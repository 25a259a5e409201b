"""Metrics with honest denominators and intervals."""
