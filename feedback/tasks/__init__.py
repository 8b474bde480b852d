"""The kinds of task that people are given.

A new kind of task is one more file with a `TaskType`, and one more entry here.
"""

from __future__ import annotations

from collections.abc import Mapping

from feedback.tasks.aspects import aspects
from feedback.tasks.edit import EDITED, edit
from feedback.tasks.pair import pair
from feedback.tasks.pair_with_ratings import pair_with_ratings
from feedback.tasks.ranking import ranking
from feedback.tasks.reply import OVERALL, Meaning, Reply, Screen, TaskType
from feedback.tasks.single_rating import single_rating
from storage.errors import NotFound

__all__ = ["EDITED", "OVERALL", "TASKS", "Meaning", "Reply", "Screen", "TaskType", "task_type"]

TASKS: Mapping[str, TaskType] = {
    one.name: one for one in (pair_with_ratings, pair, single_rating, ranking, aspects, edit)
}


def task_type(name: str) -> TaskType:
    """Look a kind of task up.

    Raises:
        NotFound: With the nearest known name.
    """
    try:
        return TASKS[name]
    except KeyError:
        raise NotFound("task type", name, TASKS) from None
