"""The hidden primary: a zone kept here with its differences, and given to secondaries."""
