"""Estimators of advantages: from the rewards of a group's attempts to one number per attempt. One small file each.

An estimator is a pure function that names what it needs as parameters (estimator.py offers it) and returns a tensor
(rollouts,), or an Estimate with a state for the next step and metrics. A user's is `path.py[:function]`.
"""
