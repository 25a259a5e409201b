"""Ablations: a `sweep:` block of a recipe becomes named runs, a table over seeds, and a page."""
