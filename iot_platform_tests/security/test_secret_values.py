"""What may be shown of a text that might quote a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from iot_platform.security.secret_values import HIDDEN, hide_secrets


def test_a_secret_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOT_CRM_TOKEN", "verysecret")
    assert hide_secrets("token=verysecret!") == f"token={HIDDEN}!"


def test_no_text_is_given_out_while_the_secrets_are_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is called where errors are reported: it must not raise one of its own."""
    monkeypatch.delenv("IOT_CRM_TOKEN", raising=False)
    monkeypatch.setenv("IOT_CRM_TOKEN_FILE", str(tmp_path / "gone"))
    shown = hide_secrets("token=verysecret!")
    assert "verysecret" not in shown
    assert "withheld" in shown
