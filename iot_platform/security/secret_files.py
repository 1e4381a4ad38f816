"""Secrets from files: ``IOT_CRM_TOKEN_FILE=/run/secrets/crm_token`` instead of ``IOT_CRM_TOKEN=...``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from iot_platform.errors import SettingsError

SUFFIX = "_FILE"


class SecretFileSource(PydanticBaseSettingsSource):
    """Reads secret settings from files: ``IOT_<SETTING>_FILE`` is the path of a file that contains the secret.

    Each ``Settings()`` reads the file again. White space around the secret is ignored; an empty file means that the
    secret is not set.
    """

    def __call__(self) -> dict[str, Any]:
        """The settings that come from files.

        Raises SettingsError for a file that cannot be read, and for a secret that is also set as a variable.
        """
        found: dict[str, Any] = {}
        for name, field in self.settings_cls.model_fields.items():
            value, key, _ = self.get_field_value(field, name)
            if value:
                found[key] = value
        return found

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The value of one setting (None: no file names it), its name, and False: the value is not JSON."""
        variable = f"{self.config.get('env_prefix', '')}{field_name}".upper()
        path = os.environ.get(variable + SUFFIX)
        if not path or not (field.annotation is SecretStr or SecretStr in get_args(field.annotation)):
            return None, field_name, False
        if os.environ.get(variable):
            raise SettingsError(f"{variable} and {variable}{SUFFIX} are both set. Keep one of them.")
        try:
            return Path(path).read_text(encoding="utf-8").strip(), field_name, False
        except UnicodeDecodeError:
            raise SettingsError(f"{variable}{SUFFIX}={path}: is not UTF-8 text.") from None
        except OSError as error:
            raise SettingsError(f"{variable}{SUFFIX}={path}: cannot be read: {error.strerror}.") from error
