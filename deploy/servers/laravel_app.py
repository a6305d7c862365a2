"""The Laravel-shaped application: copied into the root, given its .env, reached by a wrapper."""

from __future__ import annotations

import shlex
import shutil

from instances import CHECKOUT, Instance, application_settings, env_text
from processes import BIN_PATH, must_run_inside

USER = "www-data"
NAME = "app"
SOURCE = CHECKOUT / "deploy" / "desk" / "laravel"
WRITABLE = ("storage/framework/cache", "storage/framework/views", "storage/logs", "bootstrap/cache")


def install(instance: Instance) -> None:
    """The checkout's files, over those of the last start; the application's storage stays."""
    folder = instance.server_folder(NAME)
    shutil.copytree(SOURCE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".env"))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.name == "artisan" else 0o644)
    for name in WRITABLE:
        instance.make_folder(folder / name, USER)
    settings = application_settings(instance.ports, instance.secrets)
    instance.write(folder / ".env", env_text(settings), USER)
    _write_wrapper(instance)


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
    instance.wrapper.write_text(text)
    instance.wrapper.chmod(0o755)
