"""The commands of `tandem`, one file per group. Each imports what is heavy when it runs."""
