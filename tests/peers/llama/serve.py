#!/usr/bin/env python3
"""Serves a GGUF model with the real llama.cpp HTTP server, on 127.0.0.1 only, until it is ended.

    serve.py MODEL API_KEY

Prints `listening on URL` once requests are answered. The port comes from the operating system.
"""

import signal
import sys

import xllamacpp

CONTEXT = 8192
AT_ONCE = 2


def main(model, api_key):
    settings = xllamacpp.CommonParams()
    settings.model.path = model
    settings.hostnames = ["127.0.0.1"]
    settings.port = 0
    settings.n_ctx = CONTEXT
    settings.n_parallel = AT_ONCE
    settings.warmup = False
    settings.use_jinja = True
    settings.api_keys = [api_key]
    server = xllamacpp.Server(settings)
    print("listening on", server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
