"""The parts of reward_training.py: the pairs, the two sides, and what a step costs them."""
