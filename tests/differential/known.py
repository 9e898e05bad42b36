"""The list of known differences: known_differences.toml says how one is written."""

import re
import threading
import tomllib
from pathlib import Path

from resp import show_command

FILE = Path(__file__).parent / "known_differences.toml"
SHOWN_BYTES = 4000


class Known:
    def __init__(self, row):
        self.name = row["name"]
        self.reason = row["reason"]
        self.ends_sequence = row.get("ends_sequence", False)
        self.patterns = [re.compile(row[field], re.S) for field in ("command", "redis", "dougong")]
        self.count = 0

    def matches(self, difference, command):
        if self.ends_sequence and not difference.is_risky:
            return False
        texts = (command, difference.reference, difference.subject)
        return all(p.fullmatch(text) for p, text in zip(self.patterns, texts))


class KnownList:
    def __init__(self, file=FILE):
        with open(file, "rb") as rows:
            self.rows = [Known(row) for row in tomllib.load(rows).get("known", [])]
        self.lock = threading.Lock()

    def find(self, difference):
        """The row that excuses it, counted; or None."""
        command = show_command(difference.command, SHOWN_BYTES)
        if difference.command:  # the name of a command is written in any case
            name = command.split(" ")[0]
            command = name.upper() + command[len(name) :]
        for row in self.rows:
            if row.matches(difference, command):
                with self.lock:
                    row.count += 1
                return row
        return None

    def add(self, name, command, redis, dougong):
        row = {"name": name, "command": command, "redis": redis, "dougong": dougong, "reason": ""}
        self.rows.append(Known(row))

    def never_matched(self):
        return [row for row in self.rows if row.count == 0]
