"""Learning from the answers: backbone, objectives, reward models, policies."""
