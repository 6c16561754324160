"""siren-bench: this codec beside others, on real files; needs the extra `bench`."""
