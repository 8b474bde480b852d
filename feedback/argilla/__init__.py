"""Argilla as another place to judge in: tasks go there as records, and judgements come back.

Argilla's server is a front end here, never the store. `questions` says how a task is asked there
and what an answer means, `pushing` brings the tasks, `pulling` brings back what people said,
`events` reads what the server tells by itself, and `taking` makes judgements of either.
"""
