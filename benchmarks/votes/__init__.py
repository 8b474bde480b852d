"""The parts of statistics.py: made-up votes, the sides, and what each takes."""
