"""What the benchmark of reward-model quality needs beside Tandem itself."""
