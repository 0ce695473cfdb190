"""Which data a compilation calibrates with, from its options. Loads neither onnx nor YAML."""

from __future__ import annotations

import warnings

from qaickit.compiler.calibration.data import RandomNoise, RawFileList, Source, open_data
from qaickit.options import Options, OptionWarning

# Options that make a profile of the data.
PROFILING = ("convert_to_quantize", "dump_profile")


def source_for(options: Options) -> Source | None:
    """The data that the options name; noise where they name none; None where none is needed.

    Noise is what the vendor's compiler takes too. It fits no real range, so the user is warned
    unless he asked for it. Errors: see `open_data`.
    """
    asking = [name for name in PROFILING if options.is_set(name)]
    if not asking:
        return None
    if options["input_list_file"] is not None:
        return RawFileList(options["input_list_file"])
    if options["calibration_data"] is not None:
        return open_data(options["calibration_data"])
    if options["use_random_input_data"] is None:
        warnings.warn(
            f"option '{asking[0]}': calibrating with random values, since there is no data; the "
            "answers will be as far off as the random values are from real ones. Give "
            "input_list_file or calibration_data",
            OptionWarning,
            stacklevel=2,
        )
    return RandomNoise(options["use_random_input_data"] or "uniform")
