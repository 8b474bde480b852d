"""The researcher's pages: collecting, training, comparing, and who may take part."""
