"""Where the nouns are kept: records, errors, database, snapshots, models, jobs."""
