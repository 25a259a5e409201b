"""Opening images, how a model resizes and counts them, and the frames their coordinates live in."""
