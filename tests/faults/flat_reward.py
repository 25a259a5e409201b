"""A reward that tells no two replies apart: every group is without spread."""


def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    return {"score": 0.5, "answered": 1.0}
