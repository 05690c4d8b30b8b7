"""The compose file and the image: valid by the specification, and everything they name exists."""

import json
import re
import runpy
import shlex
import tomllib
from dataclasses import fields
from fnmatch import fnmatch
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from deploy import probe
from gnomon.settings import ClientSettings
from gnomon_memory.legacy import legacy_store
from gnomon_memory.rental_service import rental_store
from gnomon_memory.urls import store_url
from worker.drain import TURN_S
from worker.settings import PREFIX, WorkerSettings, load, settings

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
LONG_RUNNING = sorted(SERVICES.keys() - {"migrate"})
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
STORES = [store._variable for store in (legacy_store(), rental_store())]
INTERPOLATION = re.compile(r"\$\{(\w+):-([^${}]*)\}")  # the innermost of nested ones


def schema_errors(document):
    carried = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(carried.read_text(encoding="utf-8"))
    return [error.message for error in Draft202012Validator(schema).iter_errors(document)]


def known_settings():
    names = {field.name for field in fields(ClientSettings)} | set(WorkerSettings.model_fields)
    return {PREFIX + name.upper() for name in names} | set(STORES)


def by_default(text):
    """Put in the defaults, as where no variable is set."""
    while (filled := INTERPOLATION.sub(lambda found: found[2], text)) != text:
        text = filled
    return text


def environment(service):
    return {name: by_default(value) for name, value in SERVICES[service].get("environment", {}).items()}


def seconds(duration):
    assert duration.endswith("s")
    return int(duration[:-1])


def stages():
    """The Dockerfile's instructions by stage."""
    found = {}
    for line in DOCKERFILE.replace("\\\n", " ").splitlines():
        if start := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            found[start[2]] = [line]
        elif found and line and not line.startswith("#"):
            found[[*found][-1]].append(line)
    return found


def pins(lock):
    found = re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE)
    return set(found)


def test_the_file_is_valid_by_the_compose_specification():
    """No key is misspelled and no value has another form than Compose takes."""
    assert schema_errors(COMPOSE) == []


@pytest.mark.parametrize("change", [{"comand": ["celery"]}, {"restart": 3}, {"depends_on": {"x": {"condition": "up"}}}])
def test_the_specification_refuses_what_compose_would(change):
    """The check above can fail."""
    assert schema_errors({"services": {"worker": {**SERVICES["worker"], **change}}})


def test_all_services_are_there():
    """What a deployment consists of."""
    assert sorted(SERVICES) == ["beat", "flower", "migrate", "postgres", "redis", "worker"]


@pytest.mark.parametrize("service", OURS)
def test_every_variable_is_a_setting(service):
    """A variable that nothing reads is a typing error; Flower refuses to start on one of its own."""
    from flower.options import default_options  # a web framework, for this test alone

    options = {"FLOWER_" + name.upper().replace("-", "_") for name in default_options}
    assert environment(service).keys() <= known_settings() | options


def test_every_variable_of_the_host_is_told_and_has_a_default():
    """`docker compose up` needs no .env file, and nobody has to read the services to find what can be set."""
    mentioned = set(re.findall(r"\$\{(\w+)", TEXT))
    head = TEXT.partition("name: gnomon")[0]
    assert {name for name in mentioned if name not in known_settings() and name not in head} == set()
    assert "$" not in by_default(TEXT)


def test_default_secrets_say_what_they_are_fit_for():
    """Nobody takes a built-in password for a real one."""
    secrets = dict(INTERPOLATION.findall(TEXT))
    assert {name for name in secrets if name.endswith(("_PASSWORD", "_AUTH"))} == {
        "REDIS_PASSWORD",
        "POSTGRES_PASSWORD",
        "FLOWER_BASIC_AUTH",
    }
    assert all("development-only" in secrets[name] for name in secrets if name.endswith(("_PASSWORD", "_AUTH")))


@pytest.mark.parametrize("service", OURS)
def test_the_settings_are_read_without_complaint(service, monkeypatch):
    """With the defaults, worker, client and memory systems accept every value."""
    for name, value in environment(service).items():
        monkeypatch.setenv(name, value)
    used = load()
    assert used.redis_url.get_secret_value() == "redis://:development-only@redis:6379/0"
    assert ClientSettings.from_env(environment(service)).redis_url == used.redis_url.get_secret_value()
    for variable in STORES:
        assert store_url(environment(service)[variable], variable=variable).host == "postgres"


def test_redis_loses_nothing_it_took():
    """An append-only file, and refusal where memory ends."""
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "everysec"
    assert options["--maxmemory-policy"] == "noeviction"
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]
    assert SERVICES["redis"]["environment"]["VALKEYCLI_AUTH"] == options["--requirepass"]


@pytest.mark.parametrize("service", ["worker", "beat", "flower"])
def test_celery_knows_the_command_and_its_options(service):
    """`celery -A worker …` names an application, a command and options that exist."""
    from celery import Celery
    from celery.bin.celery import celery
    from flower.options import default_options

    program, flag, application, name, *arguments = SERVICES[service]["command"]
    assert (program, flag, name) == ("celery", "-A", service)
    assert isinstance(import_module(application).app, Celery)
    options = {option for parameter in celery.commands[name].params for option in parameter.opts}
    options |= {f"--{option}" for option in default_options} if name == "flower" else set()
    assert {argument.partition("=")[0] for argument in arguments} <= options


def test_the_console_has_the_migrate_command():
    """`gnomon migrate` exists, in a script that the image installs."""
    from console.main import app

    program, name = SERVICES["migrate"]["command"]
    assert program in PROJECT["project"]["scripts"]
    assert name in {command.name for command in app.registered_commands}


@pytest.mark.parametrize("service", [name for name in SERVICES if "depends_on" in SERVICES[name]])
def test_what_a_service_waits_for_can_happen(service):
    """Healthy is waited for where there is a health check, completion where a service ends by itself."""
    for other, how in SERVICES[service]["depends_on"].items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        else:
            assert how["condition"] == "service_completed_successfully"
            assert SERVICES[other]["restart"] == "no"


def test_workers_start_on_a_migrated_ledger():
    """No worker meets a ledger without tables."""
    assert SERVICES["worker"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["depends_on"]["postgres"] == {"condition": "service_healthy"}


@pytest.mark.parametrize("service", LONG_RUNNING)
def test_every_service_that_stays_has_a_health_check(service):
    """With a bound for each answer and for how often it may fail."""
    check = SERVICES[service]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert seconds(check["timeout"]) < seconds(check["interval"]) <= 30
    assert check["retries"] >= 2


def test_a_worker_checks_itself():
    """The command is in the image, and reads the settings of the worker beside it."""
    assert SERVICES["worker"]["healthcheck"]["test"] == ["CMD", "gnomon", "worker", "--check"]


@pytest.mark.parametrize("service", ["beat", "flower"])
def test_our_health_checks_are_the_probes(service):
    """The probe is in the image where it is looked for, and has this check."""
    _, program, path, check, *arguments = SERVICES[service]["healthcheck"]["test"]
    assert program == "python"
    assert f"COPY deploy/probe.py {path}" in stages()["installed"]
    assert check == service
    assert check in probe.CHECKS
    if check == "beat":
        assert f"--schedule={arguments[0]}" in SERVICES["beat"]["command"]


def test_beat_may_write_its_schedule():
    """Its folder is a volume; the rest of the container is read-only."""
    (schedule,) = [part.partition("=")[2] for part in SERVICES["beat"]["command"] if part.startswith("--schedule=")]
    assert SERVICES["beat"]["volumes"] == [f"beat:{Path(schedule).parent}"]
    assert f"WORKDIR {Path(schedule).parent}" in stages()["bare"]


def test_a_worker_has_time_to_end(monkeypatch):
    """The grace period is longer than a drain's turn with a last slow replay, and than Celery's soft shutdown."""
    for name, value in environment("worker").items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    try:
        celery = runpy.run_path(str(ROOT / "worker" / "celeryconfig.py"))
    finally:
        settings.cache_clear()
    grace = seconds(SERVICES["worker"]["stop_grace_period"])
    assert grace > celery["worker_soft_shutdown_timeout"]
    assert grace > TURN_S + WorkerSettings.model_fields["replay_timeout_s"].default


@pytest.mark.parametrize("service", SERVICES)
def test_images_are_pinned_by_version(service):
    """The same file brings up the same software; our own images carry the version of the project."""
    _, _, tag = SERVICES[service]["image"].partition(":")
    assert re.fullmatch(r"\d+(\.\d+)+", tag)
    if service in OURS:
        assert tag == PROJECT["project"]["version"]


def test_every_named_volume_is_declared_and_used():
    """A misspelled name would be another, empty volume."""
    used = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert used == COMPOSE["volumes"].keys()


def test_ports_are_open_to_this_host_alone():
    """Neither Redis nor Flower, whose metrics ask for no password, is offered to the network."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("service", OURS)
def test_our_containers_can_do_little_harm(service):
    """Not root, no privileges to gain, nothing to write but a temporary folder and their volume."""
    used = SERVICES[service]
    assert used["read_only"] is True
    assert used["cap_drop"] == ["ALL"]
    assert used["security_opt"] == ["no-new-privileges:true"]
    assert stages()[used["build"]["target"]][0].startswith("FROM bare ")
    assert "USER gnomon" in stages()["bare"]


def test_the_image_holds_every_package():
    """What the distributions are made of is copied into the stage that builds them."""
    copied = {part for line in stages()["wheels"] if line.startswith("COPY ") for part in shlex.split(line)[1:-1]}
    assert copied >= set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert "live/python" in copied


def test_what_is_copied_exists_and_is_sent():
    """Every file that the Dockerfile takes from the checkout is there, and .dockerignore lets it through."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = [line[1:] for line in lines if line.startswith("!")]
    instructions = [line for stage in stages().values() for line in stage if line.startswith("COPY ")]
    sources = [part for line in instructions if "--from=" not in line for part in shlex.split(line)[1:-1]]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert [source for source in sources if not any(fnmatch(source, pattern) for pattern in sent)] == []
    assert "*" in lines


def test_stages_and_base_image_are_named():
    """Targets of the compose file are stages, later stages build on earlier ones, the base image has a version."""
    assert {SERVICES[service]["build"]["target"] for service in OURS} <= stages().keys()
    (base,) = re.findall(r"^ARG PYTHON=python:(\S+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"\d+\.\d+\.\d+-slim-\w+", base)
    known = ["${PYTHON}"]
    for name, instructions in stages().items():
        assert instructions[0].split()[1] in known
        known.append(name)


def test_everything_is_installed_by_hash():
    """Each installation in the image is of our own wheels or under --require-hashes."""
    installs = [line for stage in stages().values() for line in stage if re.search(r"pip .*\binstall\b", line)]
    assert len(installs) == 4
    assert all("--require-hashes" in line or "--no-deps /wheels/" in line for line in installs)


@pytest.mark.parametrize(
    "lock", ["requirements.lock", "deploy/requirements-flower.lock", "deploy/requirements-build.lock"]
)
def test_the_images_run_what_was_tested(lock):
    """The locks of the images name no version that the tests did not run with, and the audit did not see."""
    assert pins(lock)
    assert pins(lock) <= pins("requirements-dev.lock")


def test_flower_comes_on_top_of_the_runtime():
    """Flower's image differs from the worker's by what Flower needs, and nothing else changes."""
    assert pins("requirements.lock") < pins("deploy/requirements-flower.lock")
