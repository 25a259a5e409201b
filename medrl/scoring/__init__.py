"""Loading rewards and turning rollouts into scores."""
