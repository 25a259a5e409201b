"""Trying a reward before a run: the validator, the attacks, and the process both call it in."""
