"""Benchmarks of speed, run by `cvcourse bench NAME`; each writes a JSON file."""
