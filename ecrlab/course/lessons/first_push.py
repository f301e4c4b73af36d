"""Lesson 01, Push your first image: create a repository, push to it, act on the findings of a scan."""

from __future__ import annotations

from ecrlab.course.lessons.first_push_checks import (
    LABEL,
    RELEASE,
    SHOP,
    WEB,
    check_push,
    check_repository,
    check_severity,
)
from ecrlab.course.tasks import Lesson, Mistake, Option, Question, Task

_CREATE_WEB = f"""\
ecr.create_repository(
    repositoryName="{WEB}",
    imageScanningConfiguration={{"scanOnPush": True}},
)"""

_FIND_WEB = f"""\
uri = ecr.describe_repositories(repositoryNames=["{WEB}"])["repositories"][0]["repositoryUri"]
"""


def _push(sample: str, tag: str, *, find: str = _FIND_WEB) -> str:
    return f"""\
{find}registry = uri.split("/")[0]

docker_client.login(username="AWS", password=password, registry=registry, reauth=True)
lab.samples.load("{sample}")
docker_client.images.get("ecrlab/{sample}").tag(uri, tag="{tag}")
for line in docker_client.images.push(uri, tag="{tag}", stream=True, decode=True):
    if "error" in line:
        raise RuntimeError(line["error"])"""


def _create_shop(scan_on_push: bool) -> str:
    return f"""\
uri = ecr.create_repository(
    repositoryName="{SHOP}",
    imageScanningConfiguration={{"scanOnPush": {scan_on_push}}},
)["repository"]["repositoryUri"]
"""


_PUSH_SHOP = _push("outdated-shop", RELEASE, find=_create_shop(True))

_READ_FINDINGS = f"""

image = {{"imageTag": "{RELEASE}"}}
ecr.get_waiter("image_scan_complete").wait(repositoryName="{SHOP}", imageId=image, WaiterConfig={{"Delay": 1}})
findings = ecr.describe_image_scan_findings(repositoryName="{SHOP}", imageId=image)["imageScanFindings"]
counts = findings["findingSeverityCounts"]
"""


def _label(value: str) -> str:
    return f"""
arn = ecr.describe_repositories(repositoryNames=["{SHOP}"])["repositories"][0]["repositoryArn"]
ecr.tag_resource(resourceArn=arn, tags=[{{"Key": "{LABEL}", "Value": {value}}}])"""


_WORST = 'worst = next(s for s in ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL") if counts.get(s))'
_SOFTEST = 'mildest = min(counts, key=("LOW", "MEDIUM", "HIGH", "CRITICAL", "INFORMATIONAL", "UNDEFINED").index)'

LESSON = Lesson(
    number="01",
    title="Push your first image to Amazon ECR",
    tasks=(
        Task(
            id="01.1",
            title="Create a repository that scans",
            check=check_repository,
            hints=(
                "The lesson creates a repository in its first step. Here only the name is another one.",
                "`create_repository` takes `repositoryName` and `imageScanningConfiguration`; the second is a "
                "dictionary with one key.",
                'The dictionary is `{"scanOnPush": True}`.',
            ),
            solution=_CREATE_WEB,
            alternatives=(
                f"%%bash -eo pipefail\naws ecr create-repository --repository-name {WEB} "
                "--image-scanning-configuration scanOnPush=true",
                f'ecr.create_repository(repositoryName="{WEB}")\necr.put_image_scanning_configuration(\n'
                f'    repositoryName="{WEB}", imageScanningConfiguration={{"scanOnPush": True}}\n)',
            ),
            mistakes=(
                Mistake(
                    "no scan on push",
                    f'ecr.create_repository(repositoryName="{WEB}")',
                    "`scanOnPush` is false",
                ),
                Mistake(
                    "a hyphen instead of the slash",
                    _CREATE_WEB.replace(WEB, WEB.replace("/", "-")),
                    "but one named `practice-web`",
                ),
                Mistake(
                    "another region",
                    'elsewhere = "eu-west-1" if ecr.meta.region_name != "eu-west-1" else "us-west-2"\n'
                    + _CREATE_WEB.replace("ecr.", 'boto3.client("ecr", region_name=elsewhere).', 1),
                    "the repository is in the region",
                ),
            ),
        ),
        Task(
            id="01.2",
            title="Push a release",
            check=check_push,
            hints=(
                "Three steps of the lesson are needed, in this order: log in, tag, push.",
                "The name to push to is the `repositoryUri` of the repository, then a colon, then the tag. "
                "Docker sends only what has such a name.",
                f"With `uri` from `describe_repositories`: "
                f'`docker_client.images.get("ecrlab/simplehttp").tag(uri, tag="{RELEASE}")`, '
                f'then `docker_client.images.push(uri, tag="{RELEASE}", stream=True, decode=True)` and look for '
                f'"error" in each line.',
            ),
            solution=_push("simplehttp", RELEASE),
            alternatives=(
                f"""%%bash -eo pipefail
uri=$(aws ecr describe-repositories --repository-names {WEB} --query 'repositories[0].repositoryUri' --output text)
aws ecr get-login-password | docker login --username AWS --password-stdin "${{uri%%/*}}"
docker tag ecrlab/simplehttp "$uri:{RELEASE}"
docker push "$uri:{RELEASE}\"""",
            ),
            mistakes=(
                Mistake("another tag", _push("simplehttp", "latest"), "the right image, with the tag `latest`"),
                Mistake("another image", _push("outdated-shop", RELEASE), "but it is `ecrlab/outdated-shop`"),
                Mistake(
                    "tagged and not pushed",
                    _FIND_WEB
                    + 'lab.samples.load("simplehttp")\n'
                    + f'docker_client.images.get("ecrlab/simplehttp").tag(uri, tag="{RELEASE}")',
                    "and the repository does not hold the image",
                ),
            ),
        ),
        Task(
            id="01.3",
            title="Find and record the worst severity",
            check=check_severity,
            hints=(
                "Do the whole path of the lesson once more for the other image; then read its findings and write "
                "down one word.",
                "`describe_image_scan_findings` answers `findingSeverityCounts`. `tag_resource` writes a "
                "resource tag on a repository.",
                f'`ecr.tag_resource(resourceArn=…, tags=[{{"Key": "{LABEL}", "Value": …}}])`, with the `repositoryArn` '
                "from `describe_repositories` and the worst key of `findingSeverityCounts`.",
            ),
            solution=_PUSH_SHOP + _READ_FINDINGS + _WORST + _label("worst"),
            alternatives=(
                f"""%%bash -eo pipefail
read -r uri arn <<< "$(aws ecr create-repository --repository-name {SHOP} \\
    --query 'repository.[repositoryUri,repositoryArn]' --output text)"
aws ecr get-login-password | docker login --username AWS --password-stdin "${{uri%%/*}}"
docker tag ecrlab/outdated-shop "$uri:first"
docker push "$uri:first"
aws ecr start-image-scan --repository-name {SHOP} --image-id imageTag=first > /dev/null
aws ecr wait image-scan-complete --repository-name {SHOP} --image-id imageTag=first
counts=$(aws ecr describe-image-scan-findings --repository-name {SHOP} --image-id imageTag=first \\
    --query 'keys(imageScanFindings.findingSeverityCounts)' --output text)
for severity in CRITICAL HIGH MEDIUM LOW INFORMATIONAL; do
    if [[ " $(echo $counts) " == *" $severity "* ]]; then
        aws ecr tag-resource --resource-arn "$arn" --tags Key={LABEL},Value="$severity"
        break
    fi
done""",
            ),
            mistakes=(
                Mistake(
                    "never scanned",
                    _push("outdated-shop", RELEASE, find=_create_shop(False)),
                    "which was never scanned",
                ),
                Mistake(
                    "the wrong image",
                    _push("simplehttp", RELEASE, find=_create_shop(True)),
                    "it holds `ecrlab/simplehttp`",
                ),
                Mistake("not recorded", _PUSH_SHOP + _READ_FINDINGS, "has no resource tag"),
                Mistake(
                    "spelled in another way",
                    _PUSH_SHOP + _READ_FINDINGS + _WORST + _label("worst.lower()"),
                    "which is no severity of ECR",
                ),
                Mistake(
                    "the mildest, not the worst",
                    _PUSH_SHOP + _READ_FINDINGS + _SOFTEST + _label("mildest"),
                    "the scan's worst finding has another severity",
                ),
            ),
        ),
    ),
    questions=(
        Question(
            id="01.r1",
            text="Which of these goes to the registry on this computer when the lab is open?",
            options=(
                Option(
                    "Only calls made in Python",
                    "The lab sets environment variables, and the command-line tools read the same ones.",
                ),
                Option(
                    "`boto3`, `aws` and `docker` alike",
                    "All three read their address and keys from the environment, which the lab sets.",
                    correct=True,
                ),
                Option(
                    "Only `docker`; the AWS calls go to AWS",
                    "`AWS_ENDPOINT_URL` sends the AWS calls to the lab. Nothing leaves this computer.",
                ),
            ),
        ),
        Question(
            id="01.q1",
            text="What did `docker tag` do?",
            options=(
                Option("It sent the image to the registry", "Nothing was sent: only `push` speaks to the registry."),
                Option("It made a copy of the image", "The id stayed the same: two names, one image, stored once."),
                Option(
                    "It gave the image a second name",
                    "The registry's address is a part of that name, and so Docker knows where to push it.",
                    correct=True,
                ),
            ),
        ),
        Question(
            id="01.q2",
            text="A scan lists no findings. What do you know about the image?",
            options=(
                Option(
                    "It is safe to run",
                    "Not that much: the scan compares packages with known vulnerabilities, it does not test what "
                    "your program does.",
                ),
                Option(
                    "No known vulnerability was found in the packages that the scanner can read",
                    "And that is all. Files copied in without a package manager are not seen, and new "
                    "vulnerabilities are published daily.",
                    correct=True,
                ),
                Option(
                    "The image holds no packages",
                    "It may hold many. A package without a known vulnerability gives no finding.",
                ),
                Option(
                    "It was not scanned",
                    "An image that was not scanned gives the error ScanNotFoundException, not an empty list.",
                ),
            ),
        ),
    ),
)
