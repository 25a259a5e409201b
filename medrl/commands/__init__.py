"""The commands that come in families; medrl/cli.py holds the rest and puts them together."""
