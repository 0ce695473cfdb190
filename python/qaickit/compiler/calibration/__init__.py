"""Calibration: which values the tensors of a model take, and which range integers shall cover.

`data`: where samples come from. `collect`: the one data pass, which makes histograms
(`histogram`). `methods`: from a histogram to a range. `profile`: histograms in a file.
"""
