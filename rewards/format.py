"""Score the format: think, then answer, nothing else."""

from medrl.dialogue.answers import format_ok


def compute_score(data_source, solution_str, ground_truth, extra_info=None, style="think"):
    """1.0 for the exact format, else 0.0."""
    return {"score": float(format_ok(solution_str, style))}
