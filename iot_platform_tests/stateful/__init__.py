"""Random sequences of everything that can happen to the platform, compared with a plain model of the truth."""
