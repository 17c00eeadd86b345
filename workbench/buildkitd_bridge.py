#!/usr/bin/env python3
"""A stand-in for a BuildKit daemon's address: real BuildKit, the one inside an engine, without the engine's HTTP around it.

No package registry has a `buildkitd`. The BuildKit of an engine speaks the same gRPC behind `POST /grpc` with an upgrade; this bridge
accepts plain connections, asks for the upgrade, and hands the bytes through. What answers is BuildKit itself.

    buildkitd_bridge.py ENGINE_SOCKET PORT
"""

import asyncio
import contextlib
import sys

UPGRADE = b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n"


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hands bytes from one side to the other until the first one ends."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(ConnectionError):
        writer.close()


async def serve(engine: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bridges one connection."""
    try:
        engine_reader, engine_writer = await asyncio.open_unix_connection(engine)
        engine_writer.write(UPGRADE)
        head = await engine_reader.readuntil(b"\r\n\r\n")
    except (OSError, asyncio.IncompleteReadError) as error:
        print(f"the engine at {engine} does not answer: {error}", file=sys.stderr, flush=True)
        writer.close()
        return
    if b" 101 " not in head.split(b"\r\n", 1)[0]:
        print(f"the engine refuses: {head!r}", file=sys.stderr, flush=True)
        writer.close()
        engine_writer.close()
        return
    await asyncio.gather(pump(reader, engine_writer), pump(engine_reader, writer))


async def main(engine: str, port: int) -> None:
    """Serves until it is ended."""
    server = await asyncio.start_server(lambda r, w: serve(engine, r, w), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
