"""medrl: reinforcement learning with verifiable rewards for vision-language models that read medical images."""

__version__ = "0.1.0"
