"""One attempt at one question, and what an engine must offer for it."""
