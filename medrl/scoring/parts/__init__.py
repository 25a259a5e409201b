"""What several reward files share: is an answer right, what does the row say, sets, word lists, a judge. No torch."""
