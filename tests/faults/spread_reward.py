"""A reward that differs between almost any two replies, so that an untrained model's updates are not zero."""

import zlib


def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    return {"score": zlib.crc32(solution_str.encode()) % 8 / 8, "answered": 1.0}
