"""The environment becomes one tree, and nothing in it is ignored in silence."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ConfigError
from contracts.settings import Settings
from headrace import addresses
from headrace.environment import fields, read_settings


def test_nothing_set_is_the_defaults() -> None:
    assert read_settings({}) == Settings()
    assert read_settings({"PATH": "/bin", "HEADRACE_TEST_KAFKA": "h:1"}) == Settings()


def test_every_kind_of_value_arrives_with_its_type() -> None:
    settings = read_settings(
        {
            "HEADRACE_KAFKA__BOOTSTRAP": "a:1,b:2",
            "HEADRACE_API__WORKERS": "3",
            "HEADRACE_REDIS__TIMEOUT_S": "0.02",
            "HEADRACE_API__KEYS": "one, two",
            "HEADRACE_INDEX__SNAPSHOT_DIR": "/data/index",
            "HEADRACE_DATA": "/data",
        }
    )
    assert settings.kafka.bootstrap == "a:1,b:2"
    assert (settings.api.workers, settings.redis.timeout_s) == (3, 0.02)
    assert [key.get_secret_value() for key in settings.api.keys] == ["one", "two"]
    assert (settings.index.snapshot_dir, settings.data) == (Path("/data/index"), Path("/data"))


def test_a_list_may_be_json_too() -> None:
    settings = read_settings({"HEADRACE_API__KEYS": '["a,b"]'})
    assert [key.get_secret_value() for key in settings.api.keys] == ["a,b"]


def test_an_empty_value_is_not_set() -> None:
    assert read_settings({"HEADRACE_KAFKA__BOOTSTRAP": "", "HEADRACE_TYPO": ""}) == Settings()


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("HEADRACE_REDSI__URL", "HEADRACE_REDIS__URL"),
        ("HEADRACE_REDIS__ULR", "HEADRACE_REDIS__URL"),
        ("HEADRACE_REDIS_URL", "HEADRACE_REDIS__URL"),
        ("HEADRACE_DATE", "HEADRACE_DATA"),
        ("HEADRACE_API__TOKEN_SECERT_FILE", "HEADRACE_API__TOKEN_SECRET"),
    ],
)
def test_a_typing_error_is_refused_with_the_name_that_was_meant(typo: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"{typo} .*{meant}"):
        read_settings({typo: "1"})


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", min_size=1))
def test_no_unknown_name_passes(name: str) -> None:
    variable = f"HEADRACE_{name}"
    if variable in fields() or variable.startswith("HEADRACE_TEST_"):
        return
    with pytest.raises(ConfigError, match=variable):
        read_settings({variable: "1"})


def test_all_problems_are_told_at_once_with_names_and_values() -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings({"HEADRACE_API__PORT": "90000", "HEADRACE_REDIS__TIMEOUT_S": "soon"})
    text = str(caught.value)
    assert "HEADRACE_API__PORT=90000: input should be less than" in text
    assert "HEADRACE_REDIS__TIMEOUT_S=soon: input should be a valid number" in text


def test_a_wrong_list_of_secrets_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings({"HEADRACE_API__KEYS": '["hush'})
    assert "HEADRACE_API__KEYS" in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("url", ["h:6379#hush", "redis://:12/hush@h:6379/0", "redis://:hush@h:x"])
def test_a_wrong_redis_url_is_not_repeated_and_the_right_form_is_told(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^HEADRACE_REDIS__URL: a Redis URL is .*%2F") as caught:
        read_settings({"HEADRACE_REDIS__URL": url})
    assert "hush" not in str(caught.value)


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    variable = "HEADRACE_API__TOKEN_SECRET_FILE"
    secret = read_settings({variable: str(tmp_path / "secret")}).api.token_secret
    assert secret is not None
    assert secret.get_secret_value() == "s3cret"
    with pytest.raises(ConfigError, match="cannot read"):
        read_settings({variable: str(tmp_path / "nothing")})
    with pytest.raises(ConfigError, match="both set"):
        read_settings({variable: str(tmp_path / "secret"), "HEADRACE_API__TOKEN_SECRET": "x"})


def test_what_is_no_secret_has_no_file_variable() -> None:
    with pytest.raises(ConfigError, match="HEADRACE_API__PORT_FILE"):
        read_settings({"HEADRACE_API__PORT_FILE": "/tmp/x"})


@pytest.mark.parametrize("variable", sorted(fields()))
def test_every_setting_can_be_named_by_its_variable(variable: str) -> None:
    problem = ""
    try:
        read_settings({variable: "1"})
    except ConfigError as e:
        problem = str(e)  # a wrong value, never an unknown name
    assert "unknown" not in problem


@pytest.mark.parametrize(
    "package", ["contracts", "operators", "model_runtime", "streams", "index_updater", "api"]
)
def test_nothing_below_headrace_reads_the_environment(package: str) -> None:
    reads = re.compile(r"\benviron\b|\bgetenv\b")
    files = (Path(__file__).parents[2] / package).rglob("*.py")
    assert [f.name for f in files if reads.search(f.read_text())] == []


def test_a_redis_that_a_file_names_is_nobody_elses_and_gives_way_to_the_sandbox_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    there = addresses.Addresses("http://127.0.0.1:1", "127.0.0.1:2", "redis://127.0.0.1:4/0", ())
    addresses.STATE_DIR.mkdir()
    addresses.write(addresses.STATE_DIR, there)
    secret = tmp_path / "url"
    secret.write_text("redis://127.0.0.1:7000/3\n")
    environ = {"HEADRACE_REDIS__URL_FILE": str(secret)}
    assert addresses.find(None, environ) is None
    named = addresses.settings_with(None, environ).redis.url.get_secret_value()
    assert named == "redis://127.0.0.1:7000/3"
    box = addresses.settings_with(there, environ)
    assert box.redis.url.get_secret_value() == "redis://127.0.0.1:4/0"
