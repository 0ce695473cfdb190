"""What the vendor's library says about the cards, in the words of the vendor's `qaic-util -q`.

    qaic-util -q                              # all cards; also: python -m qaickit.util -q
    qaic-util -q -d 0 -d 2 -j cards.json      # some, as JSON into a file
    export QAIC_LIB=$(python -m qaickit.util --sim-path)    # simulated cards from here on

Public scripts parse these lines, so they are the vendor's, with two exceptions: temperature and
power are left out and `Board serial` is the chip's, because no public function of the library
tells them. Exit codes: 0 (also when there is no card), 255 for a device that does not exist, 1
when the library is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qaickit.errors import NotFoundError, QaicKitError

if TYPE_CHECKING:
    from qaickit._core import QaicDeviceDict, QaicFirmwareDict

__all__ = ["device_lines", "main", "sim_path"]

READY = 1
STATUS_NAMES = ("Initializing", "Ready", "Error", "Unknown")
SKU_NAMES = (
    "Invalid", "M.2", "PCIe", "PCIe Pro", "PCIe Lite", "PCIe Ultra", "Auto", "PCIe Ultra Plus",
    "PCIe 080", "PCIe Ultra 080",
)  # fmt: skip
NO_SUCH_DEVICE = 255
_SIM_LIBRARY = "libqaicsim.so"


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
        for part in (_versions, _resources, _clocks):
            lines += [f"\t{key}:{value}" for key, value in part(device)]
    return lines


def _general(device: QaicDeviceDict) -> Iterator[tuple[str, object]]:
    pci = device["pci"]
    yield "Status", STATUS_NAMES[device["status"]]
    yield (
        "PCI Address",
        f"{pci['domain']:04x}:{pci['bus']:02x}:{pci['device']:02x}.{pci['function']:x}",
    )
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
    yield "Board serial", device["serial"]


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


def _query(ids: Sequence[int]) -> list[QaicDeviceDict]:
    from qaickit import _core

    return [_core.qaic_device(id) for id in ids]


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qaic-util", description="Show the Cloud AI 100 cards of this machine.",
        allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("-q", "--query", action="store_true", help="show the cards (the default)")
    parser.add_argument(
        "-d", "--aic-device-id", type=int, action="append", metavar="ID",
        help="only this device; can be given again",
    )  # fmt: skip
    parser.add_argument(
        "-t", "--table", type=float, metavar="SECONDS", help="a table, anew each time"
    )
    parser.add_argument("-j", "--json", type=Path, metavar="FILE", help="write JSON in place of it")
    parser.add_argument(
        "--sim-path", action="store_true", help="print the path of the simulator, for QAIC_LIB"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print what was asked for and return the exit code."""
    args = _parser().parse_args(argv)
    try:
        if args.sim_path:
            print(sim_path())
            return 0
        return _run(args)
    except QaicKitError as error:
        print(f"qaic-util: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _run(args: argparse.Namespace) -> int:
    from qaickit import _core

    if _core.qaic_library()["simulated"]:
        print("These devices are simulated.", file=sys.stderr)
    known = _core.qaic_device_ids()
    ids = known if args.aic_device_id is None else args.aic_device_id
    for id in ids:
        if id not in known:
            print(f"Device {id} invalid", file=sys.stderr)
            return NO_SUCH_DEVICE
    if args.json is not None:
        args.json.write_text(_as_json(_query(ids)) + "\n", encoding="utf-8")
        return 0
    show: Callable[[Sequence[QaicDeviceDict]], None] = _print_lines
    if args.table is not None:
        show = _print_table
    show(_query(ids))
    while args.table:
        time.sleep(args.table)
        show(_query(ids))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
