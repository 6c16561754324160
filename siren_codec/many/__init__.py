"""Many pictures at once: `siren_codec.encode_many` and `decode_many`, and what the commands use.

The rooms, from the one picture to all: `jobs` makes bytes of one; `records` and `verdicts` know
what is done already; `plan` says what is to be done; `workers` does it; `mirror` holds these
together; `api` is what Python users call.
"""
