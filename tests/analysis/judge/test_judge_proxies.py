"""Proxies and certificates of the environment that a judge's client cannot use: one line, without their values."""

from __future__ import annotations

from pathlib import Path

import pytest
from judge_stub import ask, requests_for

from analysis.judge.server.client import OpenAIJudge
from reward.errors import EnvironmentFault

WHERE = "judge http://127.0.0.1:9/v1: "


@pytest.mark.parametrize("mode", ["direct", "batch"])
@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "ALL_PROXY",
            "socks5://me:CANARY@127.0.0.1:1",
            "ALL_PROXY names a SOCKS proxy, for which the package socksio is missing; install it "
            "(pip install socksio), or repeat the command without the proxy: env -u ALL_PROXY ex2 …",
        ),
        (
            "https_proxy",
            "socks5h://CANARY:1",
            "https_proxy names a SOCKS proxy, for which the package socksio is missing; install it (pip install "
            "socksio), or repeat the command without the proxy: env -u https_proxy ex2 …",
        ),
        (
            "ALL_PROXY",
            "socks4://CANARY:1",
            "no connection can be prepared with ALL_PROXY of the environment; correct their values, or repeat the "
            "command without them: env -u ALL_PROXY ex2 …",
        ),
        (
            "HTTP_PROXY",
            "http://[::1",
            "no connection can be prepared with HTTP_PROXY of the environment; correct their values, or repeat the "
            "command without them: env -u HTTP_PROXY ex2 …",
        ),
    ],
)
def test_a_proxy_that_cannot_be_used(
    variable: str, value: str, message: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(variable, value)
    judge = OpenAIJudge("m", "http://127.0.0.1:9/v1", cache=":memory:", mode=mode, folder=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(EnvironmentFault) as caught:
        ask(judge, requests_for(1))
    assert str(caught.value) == WHERE + message
