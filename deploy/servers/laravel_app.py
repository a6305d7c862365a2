"""The Laravel-shaped application: copied into the root, given its .env, reached by a wrapper."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from instances import CHECKOUT, Instance, application_settings, env_text, write_private
from processes import BIN_PATH, must_run_inside

USER = "www-data"
NAME = "app"
SOURCE = CHECKOUT / "deploy" / "desk" / "laravel"
WRITABLE = ("storage/framework/cache", "storage/framework/views", "storage/logs", "bootstrap/cache")
OWN = ("storage", "bootstrap/cache", ".env")


def install(instance: Instance) -> None:
    """The checkout's files and no others; what the application itself has written stays."""
    folder = instance.server_folder(NAME)
    shutil.copytree(SOURCE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".env"))
    for path in (SOURCE, *SOURCE.rglob("*")):
        # Readable to the application's user, whatever umask the checkout was made with.
        mode = 0o755 if path.is_dir() or path.name == "artisan" else 0o644
        (folder / path.relative_to(SOURCE)).chmod(mode)
    _remove_former(folder)
    for name in WRITABLE:
        instance.make_folder(folder / name, USER)
    for name in ("storage", "storage/framework"):
        (folder / name).chmod(0o755)
    settings = application_settings(instance.ports, instance.secrets)
    instance.write(folder / ".env", env_text(settings), USER)
    _write_wrapper(instance)


def _remove_former(folder: Path) -> None:
    """A migration or command that the checkout no longer has must not go on living here."""
    for path in sorted(folder.rglob("*"), reverse=True):
        name = path.relative_to(folder).as_posix()
        own = any(name == kept or name.startswith(kept + "/") for kept in OWN)
        if own or (SOURCE / name).exists():
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def migrate(instance: Instance) -> None:
    """Laravel's own tables; the fleet's are `fleet migrate`'s."""
    artisan = ["php", "artisan", "migrate", "--force"]
    must_run_inside(instance.root, USER, instance.server_inside(NAME), artisan)


def _write_wrapper(instance: Instance) -> None:
    """`<wrapper> artisan …` as an unprivileged user in the application's folder."""
    folder = shlex.quote(instance.server_inside(NAME))
    root = shlex.quote(str(instance.root))
    # Started from / because the caller's directory does not exist in the root; settings in the
    # caller's environment win over .env, as Laravel has it.
    text = (
        "#!/bin/sh\n"
        "cd / || exit 1\n"
        f"export PATH={BIN_PATH} HOME=/nonexistent\n"
        f"exec chroot --userspec={USER}:{USER} {root} env --chdir={folder} php "
        '"$@"\n'
    )
    # Replaced whole: a shell that runs the former one goes on reading the former one.
    write_private(instance.wrapper, text)
    instance.wrapper.chmod(0o755)
