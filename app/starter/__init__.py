"""The starter project: prompts written for Tandem, with real answers of the small model."""
