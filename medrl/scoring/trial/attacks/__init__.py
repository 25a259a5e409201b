"""Attacks on rewards: hostile replies that no fair examiner would credit, by idea, one file each.

An attack knows what a model knows: the question, the options, the size of the picture, and some candidate answers without
knowing which is right. It treats them alike, so none can win by answering well.
"""

from medrl.scoring.trial.attacks import disguise, hedging, regions, spoofing, structure, volume
from medrl.scoring.trial.attacks.target import Attack

ATTACKS: tuple[Attack, ...] = (
    *hedging.ATTACKS,
    *structure.ATTACKS,
    *regions.ATTACKS,
    *spoofing.ATTACKS,
    *disguise.ATTACKS,
    *volume.ATTACKS,
)
