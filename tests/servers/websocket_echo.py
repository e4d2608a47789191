"""Echoes WebSocket messages, plain and over TLS. Usage: websocket_echo.py PLAIN_PORT TLS_PORT CERTIFICATE KEY"""

import asyncio
import ssl
import sys

import websockets


async def echo(socket):
    async for message in socket:
        await socket.send(message)


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])
    plain = websockets.serve(echo, "127.0.0.1", int(sys.argv[1]), subprotocols=["shop.v1"])
    tls = websockets.serve(echo, "127.0.0.1", int(sys.argv[2]), subprotocols=["shop.v1"], ssl=context)
    async with plain, tls:
        await asyncio.Future()


asyncio.run(main())
