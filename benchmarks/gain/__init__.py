"""What the benchmark of policies needs beside Tandem itself."""
