"""Advantages, losses, cold start, and the local engine."""
