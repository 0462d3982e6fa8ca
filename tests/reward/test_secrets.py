"""What counts as a secret in recipes and texts, and that it is not shown."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ex2.recipe_io import read_recipe, read_stored_recipe
from reward import secrets
from reward.errors import EnvironmentFault, UserError
from reward.secrets import redacted, redacted_tree, secret_problems

WHY = "(not shown), and a recipe is stored with its runs, on reports and on model cards; put it into an environment"
JUDGE = f"{WHY} variable and name that in api_key_env."
OWN = f"{WHY} variable and let your code read it there."
PART = "holds a secret as its part"
USER = "holds a user name or a password before the host"
NO_VARIABLE = (
    "is no name of an environment variable, and may be the secret itself (not shown); give a name, such as "
    "OPENAI_API_KEY, and set that variable."
)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("judge.base_url", "http://user:SECRETPW@host/v1", f"{USER} {JUDGE}"),
        ("judge.base_url", "http://SECRETPW@host/v1", f"{USER} {JUDGE}"),
        ("judge.base_url", "http://user:SECRET/PW@host/v1", f"{USER} {JUDGE}"),
        ("judge.base_url", "user:SECRETPW@host/v1", f"{USER} {JUDGE}"),
        ("judge.base_url", "http://user%3ASECRETPW%40host/v1", f"{USER} {JUDGE}"),
        ("judge.base_url", "http://host/v1?api-version=1&Api_Key=SECRETPW", f"{PART} 'Api_Key' {JUDGE}"),
        ("judge.base_url", "http://host/v1?%61ccess=SECRETPW", f"{PART} 'access' {JUDGE}"),
        ("judge.base_url", "http://host/v1?a=1;sig=SECRETPW", f"{PART} 'sig' {JUDGE}"),
        ("judge.base_url", "http://host/v1#id_token=SECRETPW", f"{PART} 'id_token' {JUDGE}"),
        ("judge.api_key", "SECRETPW", f"is a secret by its name {JUDGE}"),
        ("judge.api_key_env", "sk-0123456789abcdefSECRETPW", NO_VARIABLE),
        ("judge.api_key_env", "0a1b2c3d4e5f6a7b", NO_VARIABLE),
        ("judge.api_key_env", "a1b2c3d4e5f60718SECRETPW", NO_VARIABLE),
        ("reward.password", "SECRETPW", f"is a secret by its name {OWN}"),
        ("reward.dbPassword", 12345678, f"is a secret by its name {OWN}"),
        ("reward.headers.Authorization", "Bearer SECRETPW", f"is a secret by its name {OWN}"),
        ("reward.token", "SECRETPW1", f"is a secret by its name {OWN}"),
        ("policy.model", "https://me:SECRETPW@hub.example/m", f"{USER} {OWN}"),
        ("dataset.url", "https://s3.example/a.zip?X-Amz-Signature=SECRETPW", f"{PART} 'X-Amz-Signature' {OWN}"),
        ("policy.revision", "hf_SECRETPW0123456789", f"holds a key or token of a service {OWN}"),
    ],
)  # fmt: skip
def test_a_secret_is_named_and_not_shown(key: str, value: object, problem: str) -> None:
    tree: object = value
    for part in reversed(key.split(".")):
        tree = {part: tree}
    assert secret_problems(tree, "r.yaml") == [f"r.yaml: {key}: {problem}"]
    hidden = str(redacted_tree(tree))
    assert "***" in hidden
    assert "PW" not in hidden
    assert "12345678" not in hidden


@pytest.mark.parametrize(
    "tree",
    [
        {"judge": {"api_key_env": "OPENAI_API_KEY", "max_tokens": 128, "tokens_per_minute": 5, "api_key": None}},
        {"judge": {"api_key_env": "my_key", "base_url": "http://host:8000/v1?api-version=2024-06-01"}},
        {"reward": {"pad_token": "[PAD]", "key": "caption", "token": "yes", "tokenizer": "Ab12345678"}},
        {"policy": {"model": "org/sk-model-of-words-and-more"}, "dataset": {"root": "data/a@b", "secret_file": "x"}},
        {"dataset": {"url": "https://host/@scope/x?split=train"}},
    ],
)  # fmt: skip
def test_what_is_no_secret(tree: object) -> None:
    assert secret_problems(tree, "r.yaml") == []
    assert redacted_tree(tree) == tree


def test_parts_that_contain_themselves_end() -> None:
    loop: list[object] = ["x"]
    bomb: list[object] = ["http://u:SECRETPW@h"]
    for _ in range(60):
        bomb = [bomb, bomb]
    loop.append(loop)
    started = time.monotonic()
    assert len(secret_problems({"a": loop, "b": bomb}, "r.yaml")) == 1
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no route to http://u:SECRETPW@h/v1.", "no route to http://***@h/v1."),
        ("proxy u:SECRETPW@h:1 failed", "proxy ***@h:1 failed"),
        ("GET /v1?api%5Fkey=SECRETPW&api-version=1", "GET /v1?api%5Fkey=***&api-version=1"),
        ("ex2 run r.yaml judge.api_key=SECRETPW rl.batches=2", "ex2 run r.yaml judge.api_key=*** rl.batches=2"),
        ("given {'api_key': 'SECRETPW', 'n': 1}", "given {'api_key': '***', 'n': 1}"),
        ("judge={password: SECRETPW, n: 1}", "judge={password: ***, n: 1}"),
        ("Illegal header value b'Bearer SECRETPW'", "Illegal header value b'Bearer ***'"),
        ('{"Proxy-Authorization": "Basic bTpTRUNSRVRQVw==", "n": 1}', '{"Proxy-Authorization": "***", "n": 1}'),
        ("{cookie: Token SECRETPW, n: 1}", "{cookie: ***, n: 1}"),
        ("export OPENAI_API_KEY=…, or", "export OPENAI_API_KEY=…, or"),
        ("http://h:8000/@scope/x", "http://h:8000/@scope/x"),
        ("r.yaml: judge.api_key: unknown", "r.yaml: judge.api_key: unknown"),
    ],
)
def test_texts_without_secrets(text: str, shown: str) -> None:
    assert redacted(text, {}) == shown
    assert str(UserError(text)) == shown


def test_values_of_secret_variables_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "CANARYHF")
    monkeypatch.setenv("SHORT_KEY", "x")
    assert str(EnvironmentFault("x: 401 for CANARYHF")) == "x: 401 for ***"


@pytest.mark.parametrize(
    ("variable", "value", "said", "shown"),
    [
        (
            "HTTPS_PROXY",
            "http://me:SECRET%20PW@h:1",
            "by SECRET PW, SECRET%20PW or bWU6U0VDUkVUIFBX",
            "by ***, *** or ***",
        ),
        ("my_headers", "X-One: SECRETONE\nX-Two: Bearer SECRETTWO", "SECRETONE, Bearer SECRETTWO", "***, ***"),
        ("my_headers", "X-Two: Bearer SECRETTWO", "the second is SECRETTWO", "the second is ***"),
        ("MY_TOKEN", 'SECRET"ONE', r'{"seen": "SECRET\"ONE"} at /SECRET%22ONE', '{"seen": "***"} at /***'),
        ("HTTPS_PROXY", "http://h:1", "by http://h:1", "by http://h:1"),
        ("HTTPS_PROXY", "http://me:short@h:1", "a short text", "a short text"),
    ],
)
def test_secrets_of_variables_in_every_form_in_which_they_are_sent(
    variable: str, value: str, said: str, shown: str
) -> None:
    assert redacted(said, {variable: value}) == shown


@pytest.mark.parametrize("text", ["a." * 50_000 + "@", "sk-" * 30_000, "://" * 30_000 + "@:", "{,a" * 30_000 + "@=:"])
def test_long_texts_take_no_time(text: str) -> None:
    started = time.monotonic()
    redacted(text, {})
    secret_problems({"base_url": text}, "x")
    assert time.monotonic() - started < 2


RECIPE = """\
name: r
policy: {model: m}
vlm: {name: demo-visual}
dataset: {name: demo, reward_split: train, test_split: test}
judge: {name: openai, model: m, base_url: "http://u:SECRETPW@h/v1"}
"""


def test_a_recipe_with_a_secret_is_refused_beside_other_problems(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE)
    with pytest.raises(UserError) as caught:
        read_recipe(path, ["judge.token=SECRETPW9", "rl.batches=x?key=SECRETPW"])
    lines = str(caught.value).splitlines()
    assert lines[:2] == [
        f"{path}: judge.base_url: {USER} {JUDGE}",
        f"{path}: judge.token: is a secret by its name {JUDGE}",
    ]
    assert lines[2].startswith(f"{path}: rl.batches: given 'x?key=***'; ")


def test_a_stored_recipe_of_an_earlier_version_is_read_without_its_secret(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    assert read_stored_recipe(path).judge.settings["base_url"] == "http://***@h/v1"


def test_the_variable_that_a_recipe_names_holds_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_named", set())
    (tmp_path / "r.yaml").write_text(RECIPE.replace('base_url: "http://u:SECRETPW@h/v1"', "api_key_env: MY_LOGIN"))
    assert redacted("for SECRETPW", {"MY_LOGIN": "SECRETPW"}) == "for SECRETPW"
    read_recipe(tmp_path / "r.yaml")
    assert redacted("for SECRETPW", {"MY_LOGIN": "SECRETPW"}) == "for ***"
