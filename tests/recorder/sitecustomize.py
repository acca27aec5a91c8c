"""Found by a daemon that is started with this folder on PYTHONPATH: writes down all that it sends to peers.

Each line of the file RECORD_TO is JSON: the path, the length, and for messages of a session the bytes themselves.
"""

import json
import os

if os.environ.get("RECORD_TO"):
    from pathlib import Path

    import aiohttp

    _request, _send = aiohttp.ClientSession._request, aiohttp.ClientWebSocketResponse.send_bytes

    def note(path, data, **more):
        with Path(os.environ["RECORD_TO"]).open("a") as file:
            file.write(json.dumps({"path": path, "length": len(data), **more}) + "\n")

    async def counted(path, chunks):
        async for chunk in chunks:
            note(path, chunk)
            yield chunk

    async def request(self, method, url, *args, data=None, **options):
        path = str(url).split("/v1")[-1]
        if isinstance(data, bytes):
            note(path, data)
        elif data is not None:
            data = counted(path, data)
        return await _request(self, method, url, *args, data=data, **options)

    async def send_bytes(self, data, *args, **options):
        note("told", data, hex=bytes(data).hex())
        return await _send(self, data, *args, **options)

    aiohttp.ClientSession._request = request
    aiohttp.ClientWebSocketResponse.send_bytes = send_bytes
