"""A closed table of short equipment tags, made by rule over the Point and Equipment classes of Brick 1.4 (chapter 01).

The author's table is private, so this one is ours: opinionated in the same spirit (`SPS`, `DAT`, `ZN_RHC`), small
enough for a laptop, and checked to be free of collisions. The verbose names that a pretrained model would invent are
the ontology's own class names and their BACnet-style spelling.

The rule: the words of a class name are read from left to right, the longest phrase of `CODES` first, and the codes are
joined. `Sensor` is not written (a bare quantity is measured), and air is not written before a pressure or a flow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from lib.errors import BookError

from . import registry

Split = Literal["train", "validation", "test"]
ONTOLOGY = "ontologies/1.4/Brick.ttl"
LONGEST = 7  # characters; a longer tag is not short, and its class stays out of the table
SPLIT_SEED = 14  # of the one split that the book uses
SHARES: Mapping[Split, float] = {"train": 0.7, "validation": 0.1, "test": 0.2}
UNLISTED_SHARES: Mapping[Split, float] = {"train": 0.5, "validation": 0.15, "test": 0.35}

# What a phrase of a class name is written as. The longest phrase wins; an empty code means "not written".
CODES: Mapping[str, str] = {
    # the fluid and where it is
    "Chilled Water": "CHW", "Hot Water": "HW", "Condenser Water": "CW", "Domestic Hot Water": "DHW", "Water": "W",
    "Air": "A", "Air Static Pressure": "P", "Static Pressure": "P", "Air Differential Pressure": "DLP",
    "Air Flow": "F", "Air Velocity": "VEL", "Discharge": "D", "Supply": "S", "Return": "R", "Exhaust": "E",
    "Mixed": "M", "Outside": "O", "Entering": "IN", "Leaving": "LV", "Zone": "ZN_", "Zone Air": "ZN_",
    "Room": "RM_", "Room Air": "RM_", "Building": "BLD_", "Building Air": "BLD_", "System": "SYS", "Bypass": "BY",
    "Underfloor Air Plenum": "UFP_", "Fresh": "FSH", "Plenum": "PL",
    # the quantity
    "Temperature": "T", "Humidity": "H", "Relative Humidity": "H", "Pressure": "P", "Differential Pressure": "DLP",
    "Differential Temperature": "DLT", "Flow": "F", "Enthalpy": "ENT", "Dewpoint": "DEW", "CO2": "CO2", "CO": "CO",
    "CO2 Level": "CO2", "Level": "LVL", "Speed": "SPD", "Position": "POS", "Power": "KW", "Energy": "KWH",
    "Frequency": "HZ", "Voltage": "V", "Current": "I", "Enthalpy Sensor": "ENT", "Occupancy": "OCC",
    "Illuminance": "LUX", "Luminance": "LUM", "Velocity": "VEL",
    # the equipment
    "Fan": "FN", "Pump": "PMP", "Valve": "VLV", "Damper": "DMP", "Coil": "C", "Filter": "FLT", "Chiller": "CH",
    "Boiler": "BLR", "Heat Exchanger": "HX", "Cooling Tower": "CT", "Cooling Tower Fan": "CTFN", "Motor": "MTR",
    "Variable Frequency Drive": "VFD", "VFD": "VFD", "Economizer": "ECO", "Humidifier": "HUM", "Compressor": "CMP",
    "Air Handling Unit": "AHU", "Fan Coil Unit": "FCU", "Rooftop Unit": "RTU", "Makeup Air Unit": "MAU",
    "Terminal Unit": "TU", "Variable Air Volume Box": "VAV", "Variable Air Volume Box With Reheat": "VAVR",
    "Constant Air Volume Box": "CAV", "Dual Duct Air Handling Unit": "DDAHU", "Chilled Beam": "CHB",
    "Condensing Unit": "CU", "Induction Unit": "IU", "Thermostat": "TST", "Heat Wheel": "HWL", "Tank": "TK",
    "Storage Tank": "STK", "Meter": "MET", "Radiator": "RAD", "Radiant Panel": "RDP", "Circulator Pump": "CRP",
    "Booster Pump": "BSP", "Booster Fan": "BSF", "Reheat Valve": "RHV", "Isolation Valve": "ISV",
    "Isolation": "IS", "Mixing Valve": "MXV", "Check Valve": "CKV", "Relief": "RLF", "Transfer Fan": "TFN",
    "Space Heater": "SPH", "Water Heater": "WHT", "Weather Station": "WX", "Absorption": "AB", "Centrifugal": "CF",
    "Air Cooled": "AC", "Water Cooled": "WC", "Active": "AV", "Passive": "PV", "Electric": "EL", "Baseboard": "BB",
    "Ceiling": "CG", "Wall": "WL", "Floor": "FLR", "Natural Gas": "NG", "Gas": "G", "Pre Filter": "PFLT",
    "Thermal": "TH", "Steam": "STM", "Packaged": "PK", "Heat Pump": "HP", "Standby": "SB", "Energy Storage": "ES",
    # what is done with it
    "Heating": "HT", "Cooling": "CL", "Occupied": "OC", "Unoccupied": "UN", "Preheat": "PH", "Reheat": "RH",
    "Effective": "EF", "Target": "TG", "Average": "AVG", "Demand": "DM", "Max": "MX", "Min": "MN", "High": "HI",
    "Low": "LO", "Load": "LD", "Run": "RN", "Start Stop": "SST", "Start": "STA", "Stop": "STP", "On": "ON",
    "Off": "OFF", "On Off": "ONF", "Enable": "ENA", "Disable": "DIS", "Lockout": "LKO", "Mode": "MD", "Time": "TM",
    "Emergency": "EM", "Fault": "FU", "Failure": "FAI", "Smoke": "SMK", "Reset": "RS", "Lead Lag": "LL",
    "Override": "OVR", "Overridden": "OVD", "Operating": "OP", "Output": "OUT", "Medium Temperature": "MT",
    # the role, last
    "Sensor": "", "Setpoint": "S", "Command": "C", "Status": "X", "Alarm": "AL", "Limit": "L", "Deadband": "DB",
    "Deadband Setpoint": "DB", "Proportional Band Parameter": "PB", "Proportional Band Setpoint": "PBS",
    "Integral Time Parameter": "IT", "Gain Parameter": "GN", "Step Parameter": "STPP", "Parameter": "PR",
    "Load Shed": "SHD", "Reset Setpoint": "RSS", "Usage": "U", "Shed": "SHD",
}  # fmt: skip

# The role of a point, its step of reasoning, and whether it is a wire or a value in software: our rule, stated.
ROLES: Mapping[str, tuple[str, bool]] = {
    "sensor": ("measured", False),
    "status": ("reported", False),
    "command": ("driven", False),
    "equipment": ("installed", False),
    "setpoint": ("chosen", True),
    "limit": ("chosen", True),
    "parameter": ("tuned", True),
    "alarm": ("computed", True),
}


@dataclass(frozen=True)
class Tag:
    """One row of the table."""

    tag: str
    """The short tag, such as SPS."""
    name: str
    """The Brick class, such as Supply_Air_Static_Pressure_Setpoint."""
    description: str
    """The class in words, lower case: supply air static pressure setpoint."""
    verbose: tuple[str, ...]
    """What a model that knows the public names would write: the Brick spelling and the BACnet-style spelling."""
    pieces: tuple[str, ...]
    """The codes that the tag is made of, in order, without the empty ones."""
    role: str
    """One of ROLES."""
    virtual: bool
    """True when the point lives in software only (setpoint, limit, parameter, alarm)."""
    equipment: bool
    """True for an Equipment class, false for a Point class."""
    split: Split
    """Where the tag may be asked for."""


@dataclass(frozen=True)
class Taxonomy:
    """The table, and what the ontology knows besides it."""

    tags: tuple[Tag, ...]
    """The rows, sorted by class name."""
    unlisted: Mapping[Split, tuple[str, ...]]
    """Descriptions of Brick equipment that the table does not list, disjoint between splits: the trap of chapter 01."""
    public: tuple[str, ...]
    """Every current Brick Point and Equipment class name: what a first phase on public names may read."""

    @property
    def names(self) -> frozenset[str]:
        """Every tag of the table."""
        return frozenset(self.by_tag)

    @property
    def by_tag(self) -> Mapping[str, Tag]:
        """Rows by tag: the way back from a tag to its class."""
        return {row.tag: row for row in self.tags}

    def of(self, split: Split | None = None) -> tuple[Tag, ...]:
        """The rows of one split, or all of them."""
        return tuple(row for row in self.tags if split is None or row.split == split)


def words(name: str) -> list[str]:
    """The words of a class name: Supply_Air_Static_Pressure_Setpoint gives five."""
    return [word for part in name.split("_") for word in part.split("-") if word]


def describe(name: str) -> str:
    """A class name as people say it, lower case."""
    return " ".join(words(name)).lower()


def spellings(name: str) -> tuple[str, str]:
    """The verbose spellings of a class: Brick's own and the BACnet-style one, without underscores."""
    return name, "".join(word[0].upper() + word[1:] for word in words(name))


def encode(name: str) -> tuple[str, ...] | None:
    """The codes of a class name by the rule of this module, or None when a word has none. Chapter 01, the table."""
    rest, codes = words(name), []
    while rest:
        size = next((size for size in range(len(rest), 0, -1) if " ".join(rest[:size]) in CODES), 0)
        if not size:
            return None
        codes.append(CODES[" ".join(rest[:size])])
        rest = rest[size:]
    return tuple(code for code in codes if code)


@lru_cache(maxsize=1)
def taxonomy() -> Taxonomy:
    """The table of the book: at least 300 tags, each with one class and each class with one tag.

    Where two classes would share a tag, the one with fewer words keeps it (then the alphabet decides) and the other
    stays out. Every code of a validation or test tag is used by at least two training tags, so that the rule can be
    learned from the training tags alone. Chapter 01. Raises BookError when the ontology is not installed.
    """
    points, equipment = _classes()
    rows: dict[str, tuple[str, tuple[str, ...], bool]] = {}
    for name in sorted(points | equipment, key=lambda name: (len(words(name)), name)):
        codes = encode(name)
        tag = "".join(codes or ()).strip("_")
        if codes and 2 <= len(tag) <= LONGEST and tag not in rows:
            rows[tag] = (name, codes, name in equipment)
    splits = _split({tag: codes for tag, (_, codes, _) in rows.items()})
    tags = tuple(_row(tag, *rows[tag], splits[tag]) for tag in sorted(rows, key=lambda tag: rows[tag][0]))
    listed = {word for row in tags for word in row.description.split()}
    strange = {describe(name) for name in equipment if not name.startswith("PV")}
    unlisted = [text for text in sorted(strange) if not {*listed, "equipment"} & set(text.split())]
    return Taxonomy(tags, _families(unlisted), tuple(sorted(points | equipment)))


def _row(tag: str, name: str, codes: tuple[str, ...], equipment: bool, split: Split) -> Tag:
    role = "equipment" if equipment else _role(name)
    return Tag(tag, name, describe(name), spellings(name), codes, role, ROLES[role][1], equipment, split)


def _role(name: str) -> str:
    last = words(name)[-1].lower()
    return last if last in ROLES else "sensor"


def _split(codes: Mapping[str, tuple[str, ...]]) -> dict[str, Split]:
    """Splits by chance, then every tag with a code that fewer than two training tags use goes to training."""
    rng = np.random.default_rng(SPLIT_SEED)
    order = [str(tag) for tag in rng.permutation(sorted(codes))]
    edges = np.cumsum([SHARES["validation"], SHARES["test"]]) * len(order)
    splits: dict[str, Split] = {
        tag: "validation" if place < edges[0] else "test" if place < edges[1] else "train"
        for place, tag in enumerate(order)
    }
    used = Counter(code for tag, split in splits.items() if split == "train" for code in set(codes[tag]))
    for tag in order:
        if splits[tag] != "train" and any(used[code] < 2 for code in codes[tag]):
            splits[tag] = "train"
            used.update(set(codes[tag]))
    return splits


def _families(descriptions: Iterable[str]) -> dict[Split, tuple[str, ...]]:
    """Deal descriptions to the splits in families, largest first: two that share a word stay together."""
    families: list[list[str]] = []
    for text in descriptions:
        near = [family for family in families if any(set(text.split()) & set(other.split()) for other in family)]
        families = [family for family in families if family not in near]
        families.append([*(other for family in near for other in family), text])
    dealt: dict[Split, list[str]] = {split: [] for split in UNLISTED_SHARES}
    for family in sorted(families, key=lambda family: (-len(family), family)):
        short = min(UNLISTED_SHARES, key=lambda split: len(dealt[split]) / UNLISTED_SHARES[split])
        dealt[short].extend(sorted(family))
    return {split: tuple(found) for split, found in dealt.items()}


@lru_cache(maxsize=1)
def _classes() -> tuple[frozenset[str], frozenset[str]]:
    """Names of the Point and Equipment classes of Brick 1.4, without deprecated ones and Brick's own short aliases."""
    import rdflib

    path = registry.fetch("brick_ontology") / ONTOLOGY
    if not path.is_file():
        raise BookError(f"the package brickschema has no {ONTOLOGY}: install brickschema 0.8.0, which holds Brick 1.4")
    graph = rdflib.Graph().parse(path)
    brick = rdflib.Namespace("https://brickschema.org/schema/Brick#")
    old = {*graph.subjects(brick.deprecation, None), *graph.subjects(rdflib.OWL.deprecated, None)}

    def below(root: rdflib.URIRef) -> frozenset[str]:
        found, waiting = set(), [root]
        while waiting:
            for child in graph.subjects(rdflib.RDFS.subClassOf, waiting.pop()):
                if child not in found and str(child).startswith(str(brick)):
                    found.add(child)
                    waiting.append(child)
        names = (str(item)[len(str(brick)) :] for item in found - old)
        return frozenset(name for name in names if not name.isupper())

    return below(brick.Point), below(brick.Equipment)
