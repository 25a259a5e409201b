"""How much of a score survives on data of another origin."""


def relative_robustness(iid: float, ood: float) -> float:
    """RR = 1 - (iid - ood) / iid: 1.0 when nothing is lost out of distribution, 0.0 when everything is.

    `iid` and `ood` are the same measure (accuracy, reward) on held-out data like the training data and unlike it. Above
    1.0 the model does better on the unlike data. Read it beside the no-image baselines of both sets (`medrl data
    audit`): where these differ, so does what the score means. Source: SURE-VQA (github.com/IML-DKFZ/sure-vqa).

    >>> relative_robustness(0.8, 0.6)
    0.75
    """
    if not iid > 0:
        raise ValueError(
            f"relative_robustness: iid={iid}, expected a score above 0; a share of nothing is not defined."
        )
    return 1 - (iid - ood) / iid
