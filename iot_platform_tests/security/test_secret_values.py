"""Secrets are removed from texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from iot_platform.security.secret_values import HIDDEN, hide_secrets


def test_a_secret_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOT_CRM_TOKEN", "verysecret")
    assert hide_secrets("token=verysecret!") == f"token={HIDDEN}!"


def test_the_text_is_withheld_when_the_settings_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """hide_secrets is called where errors are reported, so it must not raise an error itself."""
    monkeypatch.delenv("IOT_CRM_TOKEN", raising=False)
    monkeypatch.setenv("IOT_CRM_TOKEN_FILE", str(tmp_path / "gone"))
    shown = hide_secrets("token=verysecret!")
    assert "verysecret" not in shown
    assert "withheld" in shown
