"""Score a count: one whole number, read by the grading rules."""

from medrl.dialogue.answers import read_count


def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    """1.0 for exactly the right number, else 0.0."""
    count = read_count(solution_str)
    return {"score": float(count == int(ground_truth)), "answered": float(count is not None)}
