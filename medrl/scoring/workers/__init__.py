"""Reward processes: calls answered within their deadlines, or not at all."""
