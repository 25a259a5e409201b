"""What a run leaves behind: journal, checkpoints, report."""
