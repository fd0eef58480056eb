"""The fakes are judged here. NAME.mjs is a client of other people, NAME.py what is claimed of the fake before it."""
