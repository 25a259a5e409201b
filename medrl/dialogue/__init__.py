"""Prompts, answers, and the token building between them."""
