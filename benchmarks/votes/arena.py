"""The genuine arena-rank, which needs JAX and so an environment of its own.

    PYTHON_WITH_ARENA_RANK benchmarks/votes/arena.py TABLE.parquet

Prints one JSON object: strengths in logits by name, ends of their intervals, seconds and memory.
The quickest of three runs is told, so that compiling, which the first one does, does not count.
"""

import json
import math
import resource
import sys
import time

import numpy as np
import pandas as pd
from arena_rank.models.bradley_terry import BradleyTerry
from arena_rank.utils.data_utils import PairDataset

POINTS = 400 / math.log(10)


def main() -> None:
    table = pd.read_parquet(sys.argv[1])
    taken = []
    for _ in range(3):
        began, used = time.perf_counter(), time.process_time()
        dataset = PairDataset.from_pandas(table)
        model = BradleyTerry(n_competitors=len(dataset.competitors))
        found = model.compute_ratings_and_cis(dataset)
        columns = [
            np.asarray(found[name])[np.argsort(dataset.competitors)] / POINTS
            for name in ("ratings", "rating_lower", "rating_upper")
        ]
        taken.append((time.process_time() - used, time.perf_counter() - began))
    spent, seconds = min(taken)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    values, low, high = (column - columns[0].mean() for column in columns)
    print(
        json.dumps(
            {
                "values": values.tolist(),
                "low": low.tolist(),
                "high": high.tolist(),
                "seconds": seconds,
                "processor_seconds": spent,
                "peak_gib": peak,
            }
        )
    )


if __name__ == "__main__":
    main()
