"""Sockets and asyncio for DNS; the decisions are made in `core`."""
