"""What the judgements mean: statistics, report cards, studies, judges, reports."""
