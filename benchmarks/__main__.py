"""`python -m benchmarks`: siren-bench, from a checkout."""

from siren_codec.cli import bench_main

if __name__ == "__main__":
    bench_main()
