"""The parts of annotation_load.py: a cheap browser, a crowd of annotators, the two servers."""
