"""What the vendor's library says about the cards, in the words of the vendor's `qaic-util`.

    qaic-util -q                              # all cards; also: python -m qaickit.util -q
    qaic-util -q -d 0 -d 2 -j cards.json      # some, as JSON into a file
    qaic-util -q -f "Board serial==SIMBOARD1" # those with such a line
    qaic-util -a                              # sums over the cards
    qaic-util -t 1                            # a table, anew each second
    qaic-util -s -p 0000:01:00.0              # resets one (-s alone: all); simulated cards only
    export QAIC_LIB=$(python -m qaickit.util --sim-path)    # simulated cards from here on

Public scripts parse these lines, so they are the vendor's. Where no public function of the library
tells what is asked for, a real card's line is left out (temperature, power, capabilities) or has
the next best (`Board serial` the chip's serial). Exit codes are those of the vendor's open tool: 0,
also when there is no card; 255 for a device that does not exist, for wrong usage, and after -h.
Beyond these: 1 when the library is missing, or a device cannot be queried or reset.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from qaickit._files import write_file
from qaickit._tools import as_process, outcome
from qaickit.errors import NotFoundError, QaicKitError

if TYPE_CHECKING:
    from qaickit._core import QaicDeviceDict, QaicFirmwareDict

__all__ = ["device_lines", "main", "sim_path"]

PROG = "qaic-util"
READY = 1
STATUS_NAMES = ("Initializing", "Ready", "Error", "Unknown")
SKU_NAMES = (
    "Invalid", "M.2", "PCIe", "PCIe Pro", "PCIe Lite", "PCIe Ultra", "Auto", "PCIe Ultra Plus",
    "PCIe 080", "PCIe Ultra 080",
)  # fmt: skip
NO_SUCH_DEVICE = 255
AFTER_HELP = 255
WRONG_USAGE = 255
FAILURE = 1
_SIM_LIBRARY = "libqaicsim.so"
_EPILOG = """\
environment
  QAIC_LIB    the vendor's library, or the simulator's, where it is not in /opt/qti-aic

exit code
  0, also where there is no card    1 no library, or a card cannot be queried or reset
  255 wrong usage, a card that does not exist, and after -h, as the vendor's tool has it

examples
  qaic-util -q | grep Status
  qaic-util -q -d 0 -d 2 -j cards.json
  qaic-util -t 1
  export QAIC_LIB=$(python -m qaickit.util --sim-path)    # simulated cards from here on
"""


def sim_path() -> Path:
    """The installed simulator, for QAIC_LIB. Error: NotFoundError."""
    from qaickit import _core

    module = Path(_core.__file__).resolve().parent
    installed = module / "lib" / _SIM_LIBRARY
    for path in (installed, module.parent / "sim" / _SIM_LIBRARY):  # the second in a build tree
        if path.is_file():
            return path
    raise NotFoundError(
        f"{installed} is not there; install qaickit again (the simulator comes with it)"
    )


def device_lines(device: QaicDeviceDict) -> list[str]:
    """The lines that tell of one device, the first of which is its id."""
    lines = [f"QID {device['id']}"]
    lines += [f"\t{key}:{value}" for key, value in _general(device)]
    if device["status"] == READY:
        for part in (_versions, _resources, _clocks, _board):
            lines += [f"\t{key}:{value}" for key, value in part(device)]
    return lines


def _general(device: QaicDeviceDict) -> Iterator[tuple[str, object]]:
    pci = device["pci"]
    yield "Status", STATUS_NAMES[device["status"]]
    yield "PCI Address", _pci_address(device)
    yield "PCI Info", f"{pci['class_name']} {pci['vendor_name']} {pci['device_name']}"
    yield "Max Link Speed", pci["max_link_speed"]
    yield "Max Link Width", f"x{pci['max_link_width']}"
    yield "Current Link Speed", pci["curr_link_speed"]
    yield "Current Link Width", f"x{pci['curr_link_width']}"
    yield "Dev Link", f"{device['name']} "


def _versions(device: QaicDeviceDict) -> Iterator[tuple[str, object]]:
    yield "HW Version", _dotted(device["hw_version"].to_bytes(4, "big"))
    yield "HW Serial", device["serial"]
    yield from _firmware("FW", device["firmware"])
    if device["firmware_features"]:
        yield "FW Features", f"[{device['firmware_features']}]"
    yield from _firmware("NSP", device["nsp_firmware"])


def _firmware(of: str, firmware: QaicFirmwareDict) -> Iterator[tuple[str, object]]:
    version = firmware["version"]
    yield f"{of} Version", _dotted(version if version[3] else version[:3])
    yield f"{of} QC_IMAGE_VERSION", firmware["qc_image"]
    yield f"{of} OEM_IMAGE_VERSION", firmware["oem_image"]
    yield f"{of} IMAGE_VARIANT", firmware["variant"]


def _resources(device: QaicDeviceDict) -> Iterator[tuple[str, object]]:
    r = device["resources"]
    # The vendor's open tool says MB; scripts for its other one divide what they find by 1024.
    yield "Dram Total", f"{r['dram_total_kib']} KB"
    yield "Dram Free", f"{r['dram_free_kib']} KB"
    yield "Dram Fragmentation", f"{device['fragmentation'] / 100:.2f}%"
    yield "Vc Total", r["vc_total"]
    yield "Vc Free", r["vc_free"]
    yield "Pc Total", r["pc_total"]
    yield "Pc Reserved", r["pc_reserved"]
    yield "Nsp Total", r["nsp_total"]
    yield "Nsp Free", r["nsp_free"]
    yield "Last 100ms Average Dram Bw", f"{device['performance']['dram_bw']:g} KBps"
    yield "MCID Total", r["mcid_total"]
    yield "MCID Free", r["mcid_free"]
    yield "Semaphore Total", r["sem_total"]
    yield "Semaphore Free", r["sem_free"]
    yield "Constants Loaded", device["constants_loaded"]
    yield "Constants In-Use", device["constants_in_use"]
    yield "Networks Loaded", device["networks_loaded"]
    yield "Networks Active", device["networks_active"]


def _clocks(device: QaicDeviceDict) -> Iterator[tuple[str, object]]:
    performance = device["performance"]
    hertz = {
        "NSP": performance["nsp_hz"],
        "DDR": performance["ddr_hz"],
        "COMPNOC": performance["comp_hz"],
        "MEMNOC": performance["mem_hz"],
        "SYSNOC": performance["sys_hz"],
    }
    for name, value in hertz.items():
        yield f"{name} Frequency(Mhz)", f"{value / 1e6:.2f}"
    yield "Metadata Version", _dotted(device["metadata_version"])
    yield "NNC Command Protocol Version", _dotted(device["command_protocol"])
    yield "SBL Image", device["sbl_image"]
    yield "PVS Image Version", device["pvs_image_version"]
    yield "NSP Defective PG Mask", f" {device['nsp_defect_mask']:#x}"
    yield "Sku Type", _sku(device)


def _board(device: QaicDeviceDict) -> Iterator[tuple[str, object]]:
    yield "Board serial", device["board_serial"] or device["serial"]
    telemetry = device["telemetry"]
    if telemetry is not None:
        # Simulated ones run programs over several of them, which scripts look for here.
        yield "Device Capabilities", "HybridBoot+,MDP+"
        yield "SoC temperature(degree C)", f"{telemetry['soc_celsius']:.2f}"
        yield "Board power(Watts)", f"{telemetry['board_watts']:.2f}"
        yield "TDP Cap(Watts)", f"{telemetry['tdp_cap_watts']:.2f}"


def _dotted(numbers: Sequence[int]) -> str:
    return ".".join(str(number) for number in numbers)


def _sku(device: QaicDeviceDict) -> str:
    code = device["resources"]["sku_type"]
    return SKU_NAMES[code] if code < len(SKU_NAMES) else SKU_NAMES[0]


def _as_json(devices: Sequence[QaicDeviceDict]) -> str:
    """The keys that public scripts read, then everything else that is known."""
    infos: list[dict[str, Any]] = [
        {
            "qid": device["id"],
            "dev_status": STATUS_NAMES[device["status"]],
            **device["resources"],
            "sku_type": _sku(device),
            **{key: value for key, value in device.items() if key not in ("id", "resources")},
        }
        for device in devices
    ]
    for info in infos:
        del info["status"]
    return json.dumps({"device_info": infos}, indent=2)


def _query(ids: Sequence[int]) -> tuple[list[QaicDeviceDict], int]:
    """The devices that can be queried, and the exit code."""
    from qaickit import _core

    devices, code = [], 0
    for id in ids:
        try:
            devices.append(_core.qaic_device(id))
        except QaicKitError as error:
            # Public scripts look for this line on the standard output.
            print(f"Failed to query Device ID: {id}")
            print(error, file=sys.stderr)
            code = FAILURE
    return devices, code


def _filter(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("==")
    if not equals or not key.strip():
        raise argparse.ArgumentTypeError(f'expected "KEY==VALUE", got "{text}"')
    return key.strip(), value.strip()


def _matches(device: QaicDeviceDict, wanted: tuple[str, str] | None) -> bool:
    """Whether one of the device's lines is the wanted one."""
    if wanted is None:
        return True
    for line in device_lines(device):
        key, _, value = line.partition(":")
        if (key.strip(), value.strip()) == wanted:
            return True
    return False


def _pci_address(device: QaicDeviceDict) -> str:
    pci = device["pci"]
    return f"{pci['domain']:04x}:{pci['bus']:02x}:{pci['device']:02x}.{pci['function']:x}"


def _print_lines(devices: Sequence[QaicDeviceDict]) -> None:
    for device in devices:
        print("\n".join(device_lines(device)))


def _print_table(devices: Sequence[QaicDeviceDict]) -> None:
    row = "{:<5} {:<13} {:>7} {:>7} {:>12} {:>12} {:>9}".format
    print(row("QID", "Status", "NSP", "free", "DRAM KB", "free", "Networks"))
    for device in devices:
        r = device["resources"]
        numbers = (r["nsp_total"], r["nsp_free"], r["dram_total_kib"], r["dram_free_kib"])
        print(
            row(device["id"], STATUS_NAMES[device["status"]], *numbers, device["networks_active"])
        )


def _print_sums(devices: Sequence[QaicDeviceDict]) -> None:
    """What all devices together have, in the words of the single ones."""
    ready = [device for device in devices if device["status"] == READY]
    resources = [device["resources"] for device in ready]
    print(f"Devices:{len(devices)}")
    print(f"\tReady:{len(ready)}")
    print(f"\tNsp Total:{sum(r['nsp_total'] for r in resources)}")
    print(f"\tNsp Free:{sum(r['nsp_free'] for r in resources)}")
    print(f"\tDram Total:{sum(r['dram_total_kib'] for r in resources)} KB")
    print(f"\tDram Free:{sum(r['dram_free_kib'] for r in resources)} KB")
    print(f"\tNetworks Loaded:{sum(device['networks_loaded'] for device in ready)}")
    print(f"\tNetworks Active:{sum(device['networks_active'] for device in ready)}")


def _print_version() -> None:
    from qaickit import _core

    library = _core.qaic_library()
    version = f"{library['major']}.{library['minor']} {library['patch']} {library['variant']}"
    print(f"Library Version:{version.strip()}")
    print(f"Library Path:{library['path']}")


def _reset(devices: Sequence[QaicDeviceDict], address: str | None) -> int:
    from qaickit import _core

    chosen = [d for d in devices if address is None or _pci_address(d) == address.lower()]
    if not chosen:
        there = ", ".join(_pci_address(device) for device in devices)
        wanted = "" if address is None else f" at PCI address {address}"
        print(f"no device{wanted}; there is {there or 'none'}", file=sys.stderr)
        return NO_SUCH_DEVICE
    for device in chosen:
        _core.qaic_reset_device(device["id"])
        print(f"QID {device['id']} reset")
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(WRONG_USAGE, f"{self.prog}: error: {message}\n")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected seconds, at least 0, got '{text}'")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROG, description="Show the Cloud AI 100 cards of this machine.", epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, add_help=False,
    )  # fmt: skip
    which = parser.add_argument_group("which cards").add_argument
    which("-d", "--aic-device-id", type=int, action="append", metavar="ID",
          help="only this one; can be given again (default: all)")  # fmt: skip
    which("-f", "--filter", type=_filter, metavar="KEY==VALUE",
          help='only those that have this line, for instance "Board serial==..."')  # fmt: skip
    what = parser.add_argument_group("what to do, one of")
    what.add_argument("-q", "--query", action="store_true", help="show them (the default)")
    add = what.add_mutually_exclusive_group().add_argument
    add("-a", "--aggregate", action="store_true", help="show sums over them")
    add("-t", "--table", type=_seconds, metavar="SECONDS",
        help="show a table, anew after so many seconds until Ctrl-C; 0: once")  # fmt: skip
    add("-j", "--json", type=Path, metavar="FILE", help="write JSON into a file")
    add("-s", "--soc-reset", action="store_true", help="reset them (simulated ones only)")
    add("-V", "--version", action="store_true", help="show the version of the vendor's library")
    add("--sim-path", action="store_true", help="print the path of the simulator, for QAIC_LIB")
    add("-h", "--help", action="store_true", help="show this")
    what.add_argument("-p", "--pci", metavar="ADDRESS",
                      help="with -s: only the card at this PCI address")  # fmt: skip
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print what was asked for and return the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.help:
        parser.print_help()
        return AFTER_HELP
    if args.pci is not None and not args.soc_reset:
        parser.error("-p goes with -s")
    return outcome(f"{PROG}: error", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from qaickit import _core

    if args.sim_path:
        print(sim_path())
        return 0
    if _core.qaic_library()["simulated"]:
        print("These devices are simulated.", file=sys.stderr)
    if args.version:
        _print_version()
        return 0
    known = _core.qaic_device_ids()
    ids = known if args.aic_device_id is None else args.aic_device_id
    for id in ids:
        if id not in known:
            print(f"Device {id} invalid", file=sys.stderr)
            return NO_SUCH_DEVICE

    def query() -> tuple[list[QaicDeviceDict], int]:
        devices, code = _query(ids)
        return [device for device in devices if _matches(device, args.filter)], code

    devices, code = query()
    if args.soc_reset:
        return _reset(devices, args.pci) or code
    if args.json is not None:
        write_file(args.json, (_as_json(devices) + "\n").encode(), "the JSON file")
        return code
    show: Callable[[Sequence[QaicDeviceDict]], None] = _print_lines
    if args.table is not None:
        show = _print_table
    elif args.aggregate:
        show = _print_sums
    if not args.table:
        show(devices)
        return code
    with contextlib.suppress(KeyboardInterrupt):  # which is how such a table ends
        while True:
            show(devices)
            sys.stdout.flush()
            time.sleep(args.table)
            devices, code = query()
    return code


if __name__ == "__main__":
    raise SystemExit(as_process(main))
