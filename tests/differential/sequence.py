"""What a generated sequence consists of.

A step is what is sent and compared as one: mostly one command. Steps are kept or dropped whole when
a failing sequence is made shorter.
"""

import re
from dataclasses import dataclass, field

from resp import encode, show_command

RESP2, RESP3 = 0, 1  # the connection a step uses; what it speaks at first
SCRIPT_BYTES = 4000
QUOTED = re.compile(r"'[^']*'?|\"[^\"]*\"")  # what differs from case to case


@dataclass
class Step:
    commands: list  # lists of bytes
    how: str = "plain"  # a way of execute.py
    connection: int = RESP2
    raw: bytes = b""  # sent instead of commands: inline commands and worse
    replies: int = -1  # so many are read; -1: one for each command
    pause_ms: int = 0  # afterwards
    is_risky: bool = False  # a known difference may change the state: ends its sequence then
    is_of_other: bool = False  # sent on the other connection than what is around it

    def bytes_to_send(self):
        return self.raw or b"".join(encode(command) for command in self.commands)

    def reply_count(self):
        return len(self.commands) if self.replies < 0 else self.replies

    def lines(self, limit=SCRIPT_BYTES):
        if self.raw:
            return [f"(raw) {self.raw!r}"]
        note = "" if self.how == "plain" else f"   ({self.how})"
        lines = [show_command(command, limit) + note for command in self.commands]
        if self.pause_ms:
            lines.append(f"(pause {self.pause_ms} ms)")
        return lines


@dataclass
class Sequence:
    seed: int
    databases: tuple
    steps: list = field(default_factory=list)
    is_alone: bool = False  # touches all databases or the server: nothing may run beside it


@dataclass
class Difference:
    step: int  # index; -1: found in the state at the end
    command: list
    reference: str
    subject: str
    is_risky: bool = False

    def kind(self):
        """Differences of one kind are reported once: command, and how each reply begins."""
        name = self.command[0].upper().decode("latin-1") if self.command else "state"
        texts = [QUOTED.sub("", reply) for reply in (self.reference, self.subject)]
        return name, *(" ".join(text.split()[:5])[:60] for text in texts)
