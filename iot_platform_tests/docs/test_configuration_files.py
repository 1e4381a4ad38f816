"""The files of GitHub and of Docker Compose follow their schemas, which check-jsonschema brings along."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import yaml

from iot_platform_tests.docs.pages import ROOT, tracked_files

GITHUB = ".github"
SCHEMAS = {
    "vendor.github-workflows": r"\.github/workflows/.*\.yml",
    "vendor.github-issue-forms": r"\.github/ISSUE_TEMPLATE/(?!config).*\.yml",
    "vendor.github-issue-config": r"\.github/ISSUE_TEMPLATE/config\.yml",
    "vendor.compose-spec": r"docker-compose\.yml",
}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_follow_their_schema(schema: str) -> None:
    files = [name for name in tracked_files() if re.fullmatch(SCHEMAS[schema], name)]
    assert files
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["tests.yml", "containers.yml"])
def test_what_has_not_run_says_so(name: str) -> None:
    assert (ROOT / GITHUB / "workflows" / name).read_text(encoding="utf-8").startswith("# NOT RUN YET")


def test_the_workflow_tests_the_supported_python_versions() -> None:
    workflow = yaml.safe_load((ROOT / GITHUB / "workflows/tests.yml").read_text(encoding="utf-8"))
    versions = workflow["jobs"]["fast"]["strategy"]["matrix"]["python"]
    assert versions == ["3.11", "3.12", "3.13"]
    assert 'requires-python = ">=3.11,<3.14"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_workflow_has_the_clickhouse_of_docker_compose() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    workflow = yaml.safe_load((ROOT / GITHUB / "workflows/containers.yml").read_text(encoding="utf-8"))
    service = workflow["jobs"]["clickhouse"]["services"]["clickhouse"]
    assert service["image"] == compose["services"]["clickhouse"]["image"]
