#!/usr/bin/env python3
"""A stand-in for the Docker proxy of SageMaker Studio and Code Editor, in front of a real Docker 20.10.

It enforces the refusals that are documented, in their words: paths without a version (301), any network but `sagemaker`, privileged
containers, exec, looking at networks, BuildKit, and with --vpc-only base images that are not in Amazon ECR. Studio's own proxy is not
public; sources: aws/amazon-sagemaker-feedback#161 and #219, awslabs/awsome-distributed-ai#753, aws-samples/amazon-sagemaker-local-mode
pull request 51. The network `sagemaker` is a namespace that the containers share with the space; here that is the engine's `host`.

    studio_proxy.py ENGINE_SOCKET SOCKET [--vpc-only]
"""

import asyncio
import contextlib
import io
import json
import re
import sys
import tarfile
from urllib.parse import parse_qs, urlencode, urlsplit

ANYTHING_ELSE = "The request for current resource is not allowed on SageMaker Studio."
ONLY_NETWORK_BUILD = "[ImageBuild] 'sagemaker' is the only user allowed network input"
ONLY_NETWORK_RUN = "[ContainerCreate] SageMaker Studio Docker Usage only allows 'sagemaker' as network input"
NO_PRIVILEGES = "[ContainerCreate] SageMaker Studio Docker Usage does not allow privileged mode execution"
NOT_ECR = "[ValidateVPCOnlyModeImage] Image {} is not an ECR Image"

VERSIONED = re.compile(r"^/v1\.41(/.*)$")
REFUSED = re.compile(r"^/(grpc|session|exec/|networks|containers/[^/]+/exec|plugins|swarm|volumes)")
ECR = re.compile(r"^\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com/")
REAL_NETWORK = "host"


class Refused(Exception):
    """A request that Studio does not let through."""

    def __init__(self, status: str, message: str, header: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.header = status, message, header


class Call:
    """One request: its line, its headers and, where it was looked at, its body."""

    def __init__(self, head: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.protocol = lines[0].split(" ", 2)
        self.headers = [line.split(":", 1) for line in lines[1:] if ":" in line]
        self.body: bytes | None = None

    def header(self, name: str) -> str:
        return next((value.strip() for key, value in self.headers if key.lower() == name), "")

    def without(self, *names: str) -> None:
        self.headers = [pair for pair in self.headers if pair[0].lower() not in names]

    def bytes(self) -> bytes:
        if self.body is not None:
            self.without("content-length", "transfer-encoding")
            self.headers.append(["Content-Length", str(len(self.body))])
        if not self.header("upgrade"):
            # One request on each connection, or the second would pass unseen.
            self.without("connection")
            self.headers.append(["Connection", "close"])
        lines = [f"{self.method} {self.target} {self.protocol}"]
        lines += [f"{key}:{value if value.startswith(' ') else ' ' + value}" for key, value in self.headers]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (self.body or b"")


async def whole_body(call: Call, reader: asyncio.StreamReader) -> bytes:
    """Reads a body to its end."""
    if "chunked" in call.header("transfer-encoding"):
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return body
    return await reader.readexactly(int(call.header("content-length") or 0))


def bases(archive: bytes, name: str) -> list[str]:
    """Returns the images that a Dockerfile in a build context starts from."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = tar.extractfile(name)
        text = member.read().decode() if member else ""
    words = [line.split() for line in text.splitlines() if line.upper().startswith("FROM ")]
    stages = {word[-1] for word in words if len(word) > 3}
    return [image for word in words for image in [next(w for w in word[1:] if not w.startswith("--"))] if image not in stages]


async def let_through(call: Call, reader: asyncio.StreamReader, vpc_only: bool) -> None:
    """Refuses what Studio refuses, and changes what means something else here."""
    parts = urlsplit(call.target)
    versioned = VERSIONED.match(parts.path)
    if not versioned:
        if re.match(r"^/v\d", parts.path):
            raise Refused("400 Bad Request", "client version is not 1.41. Maximum supported API version is 1.41")
        raise Refused("301 Moved Permanently", "", f"Location: /v1.41{call.target}\r\n")
    path = versioned[1]
    if REFUSED.match(path):
        raise Refused("403 Forbidden", ANYTHING_ELSE)
    if path == "/build":
        query = {key: values for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        if query.get("version", ["1"]) == ["2"]:
            raise Refused("403 Forbidden", ANYTHING_ELSE)
        if query.get("networkmode") != ["sagemaker"]:
            raise Refused("403 Forbidden", ONLY_NETWORK_BUILD)
        if vpc_only:
            call.body = await whole_body(call, reader)
            for image in bases(call.body, query.get("dockerfile", ["Dockerfile"])[0]):
                if not ECR.match(image):
                    raise Refused("403 Forbidden", NOT_ECR.format(image))
        query["networkmode"] = [REAL_NETWORK]
        call.target = f"{parts.path}?{urlencode(query, doseq=True)}"
    if path == "/containers/create":
        wanted = json.loads(await whole_body(call, reader))
        host = wanted.get("HostConfig") or {}
        if host.get("Privileged"):
            raise Refused("403 Forbidden", NO_PRIVILEGES)
        if host.get("NetworkMode") != "sagemaker":
            raise Refused("403 Forbidden", ONLY_NETWORK_RUN)
        host["NetworkMode"] = REAL_NETWORK
        call.body = json.dumps(wanted).encode()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hands bytes from one side to the other until the first one ends."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        # A half that ends leaves the other half open: that is how `attach` closes standard input.
        if writer.can_write_eof():
            writer.write_eof()


async def serve(engine: str, vpc_only: bool, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serves one connection, which is one request."""
    try:
        call = Call((await reader.readuntil(b"\r\n\r\n"))[:-4])
        await let_through(call, reader, vpc_only)
        engine_reader, engine_writer = await asyncio.open_unix_connection(engine)
        engine_writer.write(call.bytes())
        await engine_writer.drain()
        up = asyncio.create_task(pump(reader, engine_writer))
        await pump(engine_reader, writer)
        up.cancel()
        engine_writer.close()
    except Refused as refused:
        body = json.dumps({"message": refused.message}).encode() if refused.message else b""
        head = f"HTTP/1.1 {refused.status}\r\nContent-Type: application/json\r\n{refused.header}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        print(f"{call.method} {call.target.split('?')[0]}: {refused.status} {refused.message}", flush=True)
        writer.write(head.encode() + body)
    except (OSError, asyncio.IncompleteReadError, ValueError) as error:
        print(f"broken off: {error}", file=sys.stderr, flush=True)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
        writer.close()


async def main(engine: str, socket: str, vpc_only: bool) -> None:
    """Serves until it is ended."""
    server = await asyncio.start_unix_server(lambda r, w: serve(engine, vpc_only, r, w), socket)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:] == ["--vpc-only"]))
