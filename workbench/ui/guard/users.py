"""Names and password hashes (argon2id, Biryukov, Dinu & Khovratovich 2016; RFC 9106) in one YAML file that the owner keeps.

    ada: {password: $argon2id$v=19$..., role: owner}
    bob: {password: $argon2id$v=19$..., role: user}
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

from workbench.access import Principal, Role, is_taken
from workbench.errors import SettingsError

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1024
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
ROLES = (Role.OWNER, Role.USER)


class Users:
    """The users of one server, read once at its start."""

    def __init__(self, entries: dict[str, dict[str, str]]) -> None:
        from argon2 import PasswordHasher

        self._entries = entries
        self._hasher = PasswordHasher()
        # Checked for names that do not exist, so that an answer takes as long as for one that does.
        self._nobody = self._hasher.hash("no password of anybody")

    def __len__(self) -> int:
        return len(self._entries)

    def check(self, name: str, password: str) -> Principal | None:
        """The user whose name and password these are, or None."""
        from argon2.exceptions import Argon2Error, InvalidHashError

        entry = self._entries.get(name)
        try:
            self._hasher.verify(entry["password"] if entry else self._nobody, password[:LONGEST_PASSWORD])
        except (Argon2Error, InvalidHashError):
            return None
        return Principal(name, Role(entry["role"])) if entry else None


def read_users(file: Path) -> Users:
    """The users in a file.

    Raises:
        SettingsError: the file is missing, not readable, open to everybody, or holds something else than users.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        if os.name != "nt" and file.stat().st_mode & 0o077:
            raise SettingsError(f"{file.name} can be read by others on this machine.", fix=f"Run: chmod 600 {file.name}")
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise SettingsError(f"The users file {file.name} cannot be read.", fix=_HOW) from None
    if not isinstance(content, dict) or not content:
        raise SettingsError(f"The users file {file.name} names nobody.", fix=_HOW)
    for name, entry in content.items():
        _check_entry(file, name, entry)
    return Users(content)


def add_user(file: Path, name: str, password: str, role: Role) -> None:
    """Writes a user into the file, which is made when missing and readable by its owner alone.

    Raises:
        SettingsError: a name or password that will not do.
    """
    from argon2 import PasswordHasher

    if not NAME.fullmatch(name):
        raise SettingsError(f"'{name[:40]}' is no user name.", fix="Use up to 32 letters, digits, dots, hyphens and underscores.")
    _refuse_taken(name, role)
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise SettingsError(f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters.", fix="Choose a longer one.")
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8")) or {} if file.exists() else {}
    content[name] = {"password": PasswordHasher().hash(password), "role": str(role)}
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        yaml.safe_dump(content, stream, sort_keys=True, allow_unicode=True)


_HOW = "Make it with: python -m workbench user NAME --users FILE"


def _check_entry(file: Path, name: Any, entry: Any) -> None:
    known = isinstance(entry, dict) and set(entry) == {"password", "role"} and str(entry["password"]).startswith("$argon2id$")
    if not known or entry["role"] not in tuple(map(str, ROLES)):
        raise SettingsError(f"The entry '{name}' in {file.name} is no user with an argon2id password and a role.", fix=_HOW)
    _refuse_taken(str(name), Role(entry["role"]))


def _refuse_taken(name: str, role: Role) -> None:
    if is_taken(name, role):
        raise SettingsError(f"The name '{name}' is the server's own.", fix="Choose another name.")
