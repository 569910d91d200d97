"""The parts of `benchmarks/peers.py`: a server, everybody who is measured, the rows, and how they are shown."""
