"""What the benchmark reads and writes; that it measures is seen by running it (``python -m bench.run --quick``)."""
