# SPDX-License-Identifier: Apache-2.0
#
# Pins of what is fetched when configuring. README.md says how to change one.

set(QAICKIT_LOADGEN_VERSION 6.0.17)
set(QAICKIT_LOADGEN_SHA256 a2e85d09e3cc0c606f89bfe1fbf97537c8b5b238ae0afbd923ad9c710fcf2ca8)

# grpcio-tools is fetched for the protobuf sources it carries, nothing else.
# 1.54 is its last line on protobuf 3.21, the last one without abseil.
set(QAICKIT_GRPCIO_TOOLS_VERSION 1.54.3)
set(QAICKIT_GRPCIO_TOOLS_SHA256 baff375130c155b47d44b7dbe6dc5bd0e3334804669774869b1d0cf5ce14d297)
set(QAICKIT_PROTOBUF_VERSION 3.21.12)
