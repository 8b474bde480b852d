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
from feedback.tasks.said import OVERALL, Meaning, Said, Screen, TaskType
from feedback.tasks.single_rating import single_rating

__all__ = ["EDITED", "OVERALL", "TASKS", "Meaning", "Said", "Screen", "TaskType"]

TASKS: Mapping[str, TaskType] = {
    task_type.name: task_type
    for task_type in (pair_with_ratings, pair, single_rating, ranking, aspects, edit)
}
